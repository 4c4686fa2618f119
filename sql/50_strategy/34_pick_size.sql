-- 34_pick_size: the quantity of a pick is its smallest bound.  Each deployment joins the bounds of 31 and 32 into one
-- query, from the rows of strategy.pick_bounds, so that no query has to be planned for a pick.

do $$
declare
    v_bounds text;
begin
    select string_agg(
        format(
            'select %L::text, b.quantity, %L::text from strategy.%I(p_pick, p_price, p_rate) as b',
            p.bound, p.refusal, 'bound_' || replace(p.bound, ' ', '_')
        ),
        ' union all ' order by p.bound
    )
    into strict v_bounds
    from strategy.pick_bounds as p;

    execute 'create or replace function strategy.bounds(p_pick strategy.picks, p_price numeric, p_rate numeric) '
        'returns table (bound text, quantity numeric, refusal text) language sql stable begin atomic '
        || v_bounds || '; end';
end;
$$;

comment on function strategy.bounds is
    'Every bound on the quantity of a pick at a price and fee rate, and what the answer says when it leaves nothing; the '
    'smallest applies.';

create or replace function strategy.size_pick(
    p_pick       strategy.picks,
    p_price      numeric,
    p_rate       numeric,
    out bound    text,
    out quantity numeric,
    out refusal  text,
    out bounds   jsonb
)
language sql
stable
begin atomic
    -- A bound that cannot be computed counts as 0 and comes first.
    select
        (array_agg(b.bound order by b.quantity nulls first, b.bound))[1],
        greatest((array_agg(b.quantity order by b.quantity nulls first, b.bound))[1], 0),
        (array_agg(b.refusal order by b.quantity nulls first, b.bound))[1],
        jsonb_object_agg(b.bound, trim_scale(round(b.quantity, 8)))
    from strategy.bounds(p_pick, p_price, p_rate) as b;
end;

comment on function strategy.size_pick is
    'The quantity of a pick: its smallest bound, which one that is, and all of them. The refusal counts only when the '
    'quantity is 0.';
