-- 050_bounds: what the door accepts as a number and as a text.  Whatever is outside is refused as an argument,
-- and kept as quarantine or incident where it is a fact from outside; so no later sum, product or message
-- built from it can fail, and one bad row never stops the others.

create or replace function bus.is_amount(p_value numeric)
returns boolean
language sql
immutable
parallel safe
begin atomic
    -- NaN sorts above Infinity, so both comparisons reject it; two amounts always have a product.
    select p_value > -1e18 and p_value < 1e18 and min_scale(p_value) <= 18;
end;

comment on function bus.is_amount(numeric) is
    'Whether a price, quantity or amount of money can be worked with: finite, below 1e18 in size, at most 18 decimals. Null for null.';

create or replace function bus.is_text(
    p_value text,
    p_most  integer
)
returns boolean
language sql
immutable
parallel safe
begin atomic
    select octet_length(p_value) <= p_most;
end;

comment on function bus.is_text(text, integer) is 'Whether a text has at most so many bytes. Null for null.';
