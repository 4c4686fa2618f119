-- 86_reconciliation: compares each account with its broker.  A difference opens an incident; nothing is corrected
-- silently.  After a start, an account's intents are not claimed until it has agreed with its broker once.

create or replace function trade.correct_holding(
    p_account_id bigint,
    p_symbol     text,
    p_change     numeric
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument_id bigint;
    v_price         numeric;
    v_position      trade.positions;
    v_rest          numeric := p_change;
    v_part          numeric;
begin
    select i.instrument_id, coalesce(b.mark, b.last)
    into v_instrument_id, v_price
    from trade.accounts as a
    join market.instruments as i on i.venue = a.venue and i.symbol = p_symbol
    left join market.prices_best as b on b.instrument_id = i.instrument_id
    where a.account_id = p_account_id;

    perform trade.ensure_position(p_account_id, v_instrument_id, 'manual');

    -- Additions go to the owner manual; reductions are taken from manual first.
    for v_position in
        select p.*
        from trade.positions as p
        where p.account_id = p_account_id and p.instrument_id = v_instrument_id
          and (p.owner = 'manual' or p_change < 0)
        order by p.owner <> 'manual', p.owner
        for no key update
    loop
        v_part := case when p_change > 0 then v_rest else -least(v_position.qty, -v_rest) end;
        continue when v_part = 0;
        v_price := coalesce(v_price, nullif(v_position.avg_price, 0), 1);

        insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason)
        values (p_account_id, v_instrument_id, v_position.owner, v_part, v_price, 'the broker holds another quantity');
        perform trade.move_position(v_position, v_part, abs(v_part) * v_price, 0);
        perform trade.arm_exits(p_account_id, v_instrument_id, v_position.owner);
        perform trade.release_unsent_intents(p_account_id, v_instrument_id, v_position.owner);

        v_rest := v_rest - v_part;
        exit when v_rest = 0;
    end loop;
end;
$$;

comment on function trade.correct_holding is
    'Adjusts our holding to the broker''s by recorded rows at the mark, else the last price: additions go to manual, '
    'reductions are taken from manual first, then from owners by name.';

create or replace function trade.correct_account(
    p_account_id bigint,
    p_snapshot   jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_diff record;
begin
    for v_diff in
        select d.item, d.theirs - d.ours as change
        from trade.holdings_differences(p_account_id, p_snapshot) as d
        where not d.in_flight
        order by d.item
    loop
        begin
            if v_diff.item = 'cash' then
                insert into trade.cash_entries (account_id, kind, amount, note)
                values (p_account_id, 'correction', v_diff.change, 'the broker holds another amount');
                perform trade.release_unsent_intents(p_account_id, null, null);
            else
                perform trade.correct_holding(p_account_id, v_diff.item, v_diff.change);
            end if;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item(
                'reconcile', format('%s of account %s', v_diff.item, p_account_id), sqlstate, sqlerrm
            );
        end;
    end loop;
end;
$$;

comment on function trade.correct_account is
    'Adjusts holdings and cash to the broker''s by recorded rows, except where an order in flight may explain the '
    'difference.';

create or replace function trade.last_reconciliation(p_account_id bigint)
returns trade.reconciliation_runs
language sql
stable
begin atomic
    select r
    from trade.reconciliation_runs as r
    where r.account_id = p_account_id
    order by r.run_id desc
    limit 1;
end;

comment on function trade.last_reconciliation is
    'The latest comparison of an account with its broker; null before the first.';

create or replace function trade.report_reconciliation(
    p_account_id  bigint,
    p_account     text,
    p_answer      text,
    p_differences jsonb,
    p_is_again    boolean,
    p_last        trade.reconciliation_runs
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_answer = 'AGREES' then
        perform trade.enable_account_claims(p_account_id, p_account);
    elsif p_answer <> 'WAITS' or (
        p_is_again and p_last.answer = 'WAITS'
        and p_last.ran_at not between bus.clock() - interval '1 min' and bus.clock()
    ) then
        perform api.raise_incident('disagreement', p_account,
            jsonb_build_object('answer', p_answer, 'differences', p_differences));
    end if;
end;
$$;

comment on function trade.report_reconciliation is
    'Enables the claims of an account that agrees with its broker; opens an incident for a difference, or for a wait '
    'that has lasted a minute.';

create or replace function api.reconcile(
    p_account     text,
    p_fingerprint text,
    p_snapshot    jsonb
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account_id bigint := trade.account_id(p_account);
    v_last       trade.reconciliation_runs;
    v_found      jsonb;
    v_waiting    jsonb;
    v_is_again   boolean;
    v_answer     text;
begin
    -- An old snapshot could miss an order in flight, so that its fill would look like a difference.
    perform bus.require_read_committed('an order in flight');

    if trade.is_snapshot(p_snapshot) is not true then
        perform api.raise_incident('unreadable_snapshot', p_account, jsonb_build_object('snapshot', p_snapshot));
        return 'UNREADABLE';
    end if;

    perform risk.end_incident('unreadable_snapshot', p_account);
    perform trade.lock_holdings(v_account_id);

    if api.holdings_fingerprint(p_account) is distinct from p_fingerprint then
        return 'CHANGED';
    end if;

    -- While an order is in flight the broker may be ahead of us: a difference proves nothing yet.
    select
        coalesce(jsonb_agg(to_jsonb(d) - 'in_flight' order by d.item) filter (where not d.in_flight), '[]'),
        coalesce(jsonb_agg(to_jsonb(d) - 'in_flight' order by d.item) filter (where d.in_flight), '[]')
    into v_found, v_waiting
    from trade.holdings_differences(v_account_id, p_snapshot) as d;

    v_last := trade.last_reconciliation(v_account_id);
    v_is_again := v_last.fingerprint = p_fingerprint and v_last.differences = v_found || v_waiting;
    v_answer := case
        when v_found <> '[]' and v_is_again and v_last.answer = 'DIFFERS' then 'CORRECTED'
        when v_found <> '[]' then 'DIFFERS'
        when v_waiting <> '[]' then 'WAITS'
        else 'AGREES'
    end;

    if v_answer = 'CORRECTED' then
        perform trade.correct_account(v_account_id, p_snapshot);
    end if;

    -- Store a wait once, not once per check.
    if v_answer <> 'WAITS' or v_is_again is not true or v_last.answer <> 'WAITS' then
        insert into trade.reconciliation_runs (account_id, answer, fingerprint, differences)
        values (v_account_id, v_answer, p_fingerprint, v_found || v_waiting);
    end if;

    perform trade.report_unknown_holdings(a, p_snapshot) from trade.accounts as a where a.account_id = v_account_id;
    perform trade.report_reconciliation(v_account_id, p_account, v_answer, v_found || v_waiting, v_is_again, v_last);
    return v_answer;
end;
$$;

comment on function api.reconcile is
    'Compares a broker''s snapshot {"holdings": {symbol: quantity}, "cash": amount} with our books: AGREES, DIFFERS '
    '(seen once), CORRECTED (seen twice, corrected by recorded rows), WAITS (an order in flight may explain it; an '
    'incident when that lasts a minute), CHANGED (our books have changed since p_fingerprint: ask again) or UNREADABLE (kept '
    'as an incident). Raises TRI02, TRM02.';

create or replace function trade.enable_account_claims(
    p_account_id bigint,
    p_account    text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_was_open boolean;
begin
    perform risk.end_incident('disagreement', p_account);

    perform risk.end_incident('orders_unsent', a.broker)
    from trade.accounts as a
    where a.account_id = p_account_id and trade.consecutive_unsent_orders(a.broker) = 0;

    select a.reconciled_run = n.run_number into v_was_open
    from trade.accounts as a
    cross join bus.instance as n
    where a.account_id = p_account_id;

    update trade.accounts as a
    set reconciled_at = bus.clock(),
        reconciled_run = n.run_number
    from bus.instance as n
    where a.account_id = p_account_id;

    if v_was_open is not true then
        perform bus.notify('new_intent');
    end if;
end;
$$;

comment on function trade.enable_account_claims is
    'Records that an account agrees with its broker, so that its intents may be claimed, and wakes execution if they '
    'had to wait.';

create or replace function api.accounts_to_reconcile()
returns table (account text, broker text, fingerprint text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select a.account, a.broker, api.holdings_fingerprint(a.account)
    from trade.accounts as a
    where a.reconciled_run is distinct from (select n.run_number from bus.instance as n)
       or a.reconciled_at not between bus.clock() - interval '30 s' and bus.clock()
    order by a.account_id;
end;

comment on function api.accounts_to_reconcile is
    'Accounts to compare with their broker: those that have not agreed with it since the start or for 30 seconds. Pass '
    'the fingerprint on to reconcile.';

create or replace function api.accounts_to_execute()
returns table (account text, broker text, fills_cursor text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select a.account, a.broker, a.fills_cursor
    from trade.accounts as a
    order by a.account_id;
end;

comment on function api.accounts_to_execute is
    'Accounts whose fills are to be read, and the cursor up to which they were read, in the broker''s own terms.';
