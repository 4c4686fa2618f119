-- 390_reconcile: does the broker hold what we think?  A disagreement is an incident; nothing is corrected
-- silently.  An account's claims wait for its first agreement after a start.

create or replace function trade.is_snapshot(p_snapshot jsonb)
returns boolean
language sql
immutable
begin atomic
    -- Its length comes first: a number of 131,073 digits cannot even be read.
    select jsonb_typeof(p_snapshot -> 'holdings') = 'object'
        and not exists (
            select
            from (
                select h.value, '^(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$' as shape
                from jsonb_each_text(
                    case jsonb_typeof(p_snapshot -> 'holdings')
                        when 'object' then p_snapshot -> 'holdings' else '{}'
                    end
                ) as h
                union all
                select p_snapshot ->> 'cash', '^-?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?$'
                where p_snapshot ->> 'cash' is not null
            ) as n
            where (case when length(n.value) <= 100 and n.value ~ n.shape then bus.is_amount(n.value::numeric) end)
                is not true
        );
end;

comment on function trade.is_snapshot(jsonb) is
    'Whether each holding is a number that can be worked with, not below zero, and cash such a number or not reported.';

create or replace function trade.is_in_flight(
    p_account_id    bigint,
    p_instrument_id bigint
)
returns boolean
language sql
stable
begin atomic
    select exists (
        select
        from trade.orders as o
        where o.account_id = p_account_id
          and (o.closed_at is null or o.stray_since is not null)
          and (p_instrument_id is null or o.instrument_id = p_instrument_id)
    );
end;

comment on function trade.is_in_flight(bigint, bigint) is
    'Whether the broker may be ahead of us in an instrument, or, where that is null, in cash: an order lives, or a stray.';

create or replace function trade.holdings_differences(
    p_account_id bigint,
    p_snapshot   jsonb
)
returns table (item text, ours numeric, theirs numeric, in_flight boolean)
language sql
stable
begin atomic
    select
        i.symbol,
        coalesce(o.qty, 0),
        coalesce(t.qty, 0),
        trade.is_in_flight(p_account_id, i.instrument_id)
    from (
        select p.instrument_id, sum(p.qty) as qty
        from trade.positions as p
        where p.account_id = p_account_id
        group by p.instrument_id
    ) as o
    full join (
        select n.instrument_id, h.value::numeric as qty
        from jsonb_each_text(p_snapshot -> 'holdings') as h
        join trade.accounts as a on a.account_id = p_account_id
        join market.instruments as n on n.venue = a.venue and n.symbol = h.key
    ) as t on t.instrument_id = o.instrument_id
    join market.instruments as i on i.instrument_id = coalesce(o.instrument_id, t.instrument_id)
    where coalesce(o.qty, 0) <> coalesce(t.qty, 0)
    union all
    select 'cash', b.cash, (p_snapshot ->> 'cash')::numeric, trade.is_in_flight(p_account_id, null)
    from trade.balances as b
    where b.account_id = p_account_id
      and b.cash <> (p_snapshot ->> 'cash')::numeric;
end;

comment on function trade.holdings_differences(bigint, jsonb) is
    'Where the broker''s holdings and cash differ from the sum of our owners, for what is in our universe, and where an order in flight may explain it.';

create or replace function api.holdings_mark(p_account text)
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select md5(
        coalesce(string_agg(
            format('%s:%s:%s', p.instrument_id, p.owner, p.version), ',' order by p.instrument_id, p.owner
        ), '')
        || '/' || (select b.cash from trade.balances as b where b.account_id = a.account_id)
        || '/' || (
            select count(*)
            from trade.orders as o
            where o.account_id = a.account_id and (o.closed_at is null or o.stray_since is not null)
        )
    )
    from trade.accounts as a
    left join trade.positions as p on p.account_id = a.account_id
    where a.account = p_account
    group by a.account_id;
end;

comment on function api.holdings_mark(text) is
    'A mark of all an account holds and has in flight. Read before asking the broker; if it changed meanwhile, the answer proves nothing.';

create or replace function trade.tell_unknown_holdings(
    p_account  trade.accounts,
    p_snapshot jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown jsonb;
begin
    select jsonb_object_agg(h.key, h.value)
    into v_unknown
    from jsonb_each_text(p_snapshot -> 'holdings') as h
    where h.value::numeric <> 0
      and not exists (
          select from market.instruments as i where i.venue = p_account.venue and i.symbol = h.key
      );

    if v_unknown is not null then
        perform api.raise_incident('unknown_holding', p_account.account, v_unknown);
    else
        perform risk.end_incident('unknown_holding', p_account.account);
    end if;
end;
$$;

comment on function trade.tell_unknown_holdings(trade.accounts, jsonb) is
    'Keeps an incident open while the broker holds what is not in our universe: we cannot trade it, and it stops nothing else.';

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

    -- What came from outside belongs to manual; what went takes from manual first.
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
        perform trade.shed_unsent(p_account_id, v_instrument_id, v_position.owner);

        v_rest := v_rest - v_part;
        exit when v_rest = 0;
    end loop;
end;
$$;

comment on function trade.correct_holding(bigint, text, numeric) is
    'Brings our holding to the broker''s by recorded rows at the last price: additions go to manual, reductions take from manual first, then from owners by name.';

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
                perform trade.shed_unsent(p_account_id, null, null);
            else
                perform trade.correct_holding(p_account_id, v_diff.item, v_diff.change);
            end if;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item('reconcile', format('%s of account %s', v_diff.item, p_account_id), sqlstate, sqlerrm);
        end;
    end loop;
end;
$$;

comment on function trade.correct_account(bigint, jsonb) is
    'Brings holdings and cash to the broker''s by recorded rows, where no order in flight may explain the difference.';

create or replace function api.reconcile(
    p_account  text,
    p_mark     text,
    p_snapshot jsonb
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
    -- In an old snapshot an order that is in flight would be missing, and its fill be taken for a disagreement.
    perform bus.require_the_latest('an order in flight');

    if trade.is_snapshot(p_snapshot) is not true then
        perform api.raise_incident('unreadable_snapshot', p_account, jsonb_build_object('snapshot', p_snapshot));
        return 'UNREADABLE';
    end if;

    perform risk.end_incident('unreadable_snapshot', p_account);

    -- Lock order: account, positions.
    perform from trade.balances as b where b.account_id = v_account_id for no key update;
    perform
    from trade.positions as p
    where p.account_id = v_account_id
    order by p.instrument_id, p.owner
    for no key update;

    if api.holdings_mark(p_account) is distinct from p_mark then
        return 'CHANGED';
    end if;

    -- Where an order is in flight the broker may be ahead of us: there a difference proves nothing yet.
    select
        coalesce(jsonb_agg(to_jsonb(d) - 'in_flight' order by d.item) filter (where not d.in_flight), '[]'),
        coalesce(jsonb_agg(to_jsonb(d) - 'in_flight' order by d.item) filter (where d.in_flight), '[]')
    into v_found, v_waiting
    from trade.holdings_differences(v_account_id, p_snapshot) as d;

    select r.* into v_last
    from trade.reconciliation_runs as r
    where r.account_id = v_account_id
    order by r.run_id desc
    limit 1;

    v_is_again := v_last.mark = p_mark and v_last.differences = v_found || v_waiting;
    v_answer := case
        when v_found <> '[]' and v_is_again and v_last.answer = 'DIFFERS' then 'CORRECTED'
        when v_found <> '[]' then 'DIFFERS'
        when v_waiting <> '[]' then 'WAITS'
        else 'AGREES'
    end;

    if v_answer = 'CORRECTED' then
        perform trade.correct_account(v_account_id, p_snapshot);
    end if;

    -- A wait is one row from its first look on, however often it is looked at.
    if v_answer <> 'WAITS' or v_is_again is not true or v_last.answer <> 'WAITS' then
        insert into trade.reconciliation_runs (account_id, answer, mark, differences)
        values (v_account_id, v_answer, p_mark, v_found || v_waiting);
    end if;

    perform trade.tell_unknown_holdings(a, p_snapshot) from trade.accounts as a where a.account_id = v_account_id;

    if v_answer = 'AGREES' then
        perform trade.open_account(v_account_id, p_account);
    elsif v_answer <> 'WAITS' or (v_is_again and v_last.answer = 'WAITS' and v_last.ran_at not between bus.clock() - interval '1 min' and bus.clock()) then
        perform api.raise_incident('disagreement', p_account,
            jsonb_build_object('answer', v_answer, 'differences', v_found || v_waiting));
    end if;

    return v_answer;
end;
$$;

comment on function api.reconcile(text, text, jsonb) is
    'Compares a broker''s snapshot {"holdings": {symbol: quantity}, "cash": amount} with ours: AGREES, DIFFERS (seen once), CORRECTED (seen twice, put right by recorded rows), WAITS (an order in flight may explain it; told when that lasts a minute), CHANGED (proves nothing, ask again) or UNREADABLE (kept as an incident). Raises TRI02, TRM02.';

create or replace function trade.open_account(
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
    where a.account_id = p_account_id and trade.unsent_in_row(a.broker) = 0;

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

comment on function trade.open_account(bigint, text) is
    'An account and its broker agree: its claims may go on, and execution is woken if they had waited.';

create or replace function api.accounts_to_reconcile()
returns table (account text, broker text, mark text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select a.account, a.broker, api.holdings_mark(a.account)
    from trade.accounts as a
    where a.reconciled_run is distinct from (select n.run_number from bus.instance as n)
       or a.reconciled_at not between bus.clock() - interval '30 s' and bus.clock()
    order by a.account_id;
end;

comment on function api.accounts_to_reconcile() is
    'Accounts to compare with their broker: those not yet open since the start, and every 30 seconds. The mark goes back to reconcile.';

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

comment on function api.accounts_to_execute() is
    'Accounts whose fills are to be read, and how far they have been, in the broker''s own terms.';
