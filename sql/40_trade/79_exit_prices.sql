-- 79_exit_prices: the rules of 78 in one view.  Each deployment builds it from the rows of trade.exit_kinds, so that
-- no query has to be planned when prices arrive.

do $$
declare
    v_rules text;
begin
    select string_agg(
        format(
            'select %L::text as reason, %s as priority, %L::boolean as is_stop, '
            'x.account_id, x.instrument_id, x.owner, x.sell_below, x.sell_above from trade.%I as x',
            k.reason, k.priority, k.is_stop, 'exit_on_' || lower(k.reason)
        ),
        ' union all ' order by k.priority
    )
    into strict v_rules
    from trade.exit_kinds as k;

    execute 'create or replace view trade.exit_prices as ' || v_rules;
end;
$$;

comment on view trade.exit_prices is
    'The bids at which armed positions are sold, a row for each reason: at or below sell_below, at or above sell_above.';
