-- 10_arguments: which numbers and texts the api functions accept.  An argument out of bounds is refused; a fact from
-- outside goes to quarantine or an incident instead.  So no later sum, product or message built from it can fail, and
-- one bad row never stops the others.

create or replace function bus.is_amount(p_value numeric)
returns boolean
language sql
immutable
parallel safe
begin atomic
    -- NaN sorts above Infinity, so the upper bound rejects it. The product of two amounts always fits into numeric.
    select p_value > -1e18 and p_value < 1e18 and min_scale(p_value) <= 18;
end;

comment on function bus.is_amount is
    'Whether a price, quantity or amount of money is usable: finite, below 1e18 in absolute value, at most 18 '
    'decimals. Null for null.';

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

comment on function bus.is_text is 'Whether a text has at most p_most bytes. Null for null.';

create or replace function bus.refuse_argument(
    p_name text,
    p_rule text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% must be %', p_name, p_rule
        using errcode = 'TRI01', hint = 'Pass a smaller value, or omit the argument if it is optional.';
end;
$$;

comment on function bus.refuse_argument is
    'Refuses an argument. Names it and the rule it breaks, but never its value, which may be huge. Raises TRI01.';

-- Each check below is a single expression, so a passing check costs one comparison.  Null passes: the calling
-- function decides whether an argument is optional.
create or replace function bus.require_amount(
    p_name  text,
    p_value numeric
)
returns boolean
language sql
volatile
begin atomic
    select case
        when bus.is_amount(p_value) is false
            then bus.refuse_argument(p_name, 'a number below 1e18 in size with at most 18 decimals')
        else true
    end;
end;

comment on function bus.require_amount is 'Refuses a number that is not an amount (see bus.is_amount). Raises TRI01.';

create or replace function bus.require_text(
    p_name  text,
    p_value text,
    p_most  integer default 200
)
returns boolean
language sql
volatile
begin atomic
    select case
        when bus.is_text(p_value, p_most) is false
            then bus.refuse_argument(p_name, format('a text of at most %s bytes', p_most))
        else true
    end;
end;

comment on function bus.require_text is 'Refuses a text that is too long. Raises TRI01.';

create or replace function bus.require_list(
    p_name  text,
    p_value text[],
    p_most  integer default 10000
)
returns boolean
language sql
volatile
begin atomic
    -- A two-dimensional array is read as one flat list in some places and as no list in others.
    select case
        when p_value is not null and (
            coalesce(array_ndims(p_value), 1) > 1
            or cardinality(p_value) > p_most
            or array_position(p_value, null) is not null
            or octet_length(p_value::text) > p_most * 100
        ) then bus.refuse_argument(p_name, format('a plain list of at most %s items without nulls', p_most))
        else true
    end;
end;

comment on function bus.require_list is
    'Refuses an array that contains nulls, has several dimensions, or has too many or too long items. Raises TRI01.';

create or replace function bus.require_duration(
    p_name  text,
    p_value interval,
    p_most  interval
)
returns boolean
language sql
volatile
begin atomic
    select case
        when p_value <= interval '0' or p_value > p_most
            then bus.refuse_argument(p_name, format('above zero and at most %s', p_most))
        else true
    end;
end;

comment on function bus.require_duration is 'Refuses a duration that is not positive or is too long. Raises TRI01.';

create or replace function bus.require_limit(p_limit integer)
returns boolean
language sql
volatile
begin atomic
    select case
        when (p_limit between 0 and 100000) is not true
            then bus.refuse_argument('the limit', 'between 0 and 100000')
        else true
    end;
end;

comment on function bus.require_limit is 'Refuses a row limit that is null or outside 0 to 100000. Raises TRI01.';

create or replace function bus.clip_json(
    p_value jsonb,
    p_most  integer default 32768
)
returns jsonb
language sql
immutable
parallel safe
begin atomic
    -- The text of a jsonb value can be six times its size, and a text is limited to 1 GB.
    select case
        when pg_column_size(p_value) > 10000000 then jsonb_build_object('bytes', pg_column_size(p_value))
        when pg_column_size(p_value) > p_most
            then jsonb_build_object('bytes', pg_column_size(p_value), 'begins', left(p_value::text, 2000))
        else coalesce(p_value, '{}')
    end;
end;

comment on function bus.clip_json is
    'A JSON value to store: unchanged, or its size and beginning when it is too large (only the size above 10 MB); '
    'an empty object for null.';

create or replace function bus.clip_number(p_value numeric)
returns jsonb
language sql
immutable
parallel safe
begin atomic
    select case
        when bus.is_amount(p_value) is false then to_jsonb(left(p_value::text, 100))
        else to_jsonb(p_value)
    end;
end;

comment on function bus.clip_number is
    'A number to store as JSON: unchanged, or the first 100 characters of its text when it is not an amount.';

-- Table triggers use these on insert only. Facts about a row of an older database are stored whatever the row holds.
create or replace function bus.refuse_row(
    p_schema text,
    p_table  text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'a row of %.% is out of bounds', p_schema, p_table
        using errcode = 'TRI01',
              hint = 'Numbers are below 1e18 with at most 18 decimals, texts short, times finite.';
end;
$$;

comment on function bus.refuse_row is 'Refuses a row, naming its table. Raises TRI01.';

create or replace function bus.tg_out_of_bounds()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.refuse_row(tg_table_schema, tg_table_name);
    return null;
end;
$$;

comment on function bus.tg_out_of_bounds is
    'Refuses a row with unusable numbers, texts or times; the trigger''s WHEN condition detects it. Raises TRI01.';
