-- 42_claim_intents: hand out work.  A claim locks the gate (L1), stores the order before any broker hears of it
-- (L6), and hands out no more orders than there are rate tokens.

create or replace function trade.lock_claimable_intents(
    p_limit  integer,
    p_broker text
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_sort = off  -- without statistics the planner would sort all waiting intents to hand out a few
as $$
begin
    perform from bus.rate_limits as r order by r.bucket for no key update;

    -- Read in the order of the index of waiting intents and stop at the limit, however many wait.  Exclude
    -- brokers without tokens before the limit, so that their intents do not crowd out the others.
    return array(
        select w.intent_id
        from (
            select
                c.*,
                row_number() over (partition by c.broker order by c.side desc, c.intent_id) as rank
            from (
                select
                    i.intent_id,
                    i.side,
                    a.broker,
                    floor(bus.tokens_now(r)) as tokens
                from trade.order_intents as i
                join trade.accounts as a on a.account_id = i.account_id
                join trade.intent_types as t on t.intent_type = i.intent_type and t.side = i.side
                join risk.verdicts as v on v.account_id = i.account_id and v.action = t.action
                left join bus.rate_limits as r on r.bucket = a.broker
                where i.status = 'NEW'
                  and (p_broker is null or a.broker = p_broker)
                  and i.expires_at > bus.clock()
                  and (i.not_before is null or bus.is_over(i.not_before, '1 min'))
                  and (v.verdict = 'ALLOW' or (v.verdict = 'APPROVE' and i.approved_by is not null))
                  and a.reconciled_run = (select n.run_number from bus.instance as n where not n.is_foreign)
                  and (r.bucket is null or bus.tokens_now(r) >= 1)
                  -- An order in doubt, or still SENDING after send_before, blocks its symbol and side.
                  and not exists (
                      select
                      from trade.orders as o
                      where o.account_id = i.account_id
                        and o.instrument_id = i.instrument_id
                        and o.side = i.side
                        and (
                            o.status = 'IN_DOUBT'
                            or (o.status = 'SENDING' and o.send_before < bus.clock())
                            or o.stray_since is not null  -- ended here but still at the broker
                        )
                        and (o.status in ('SENDING', 'IN_DOUBT') or o.stray_since is not null)
                  )
                order by i.side desc, i.intent_id
                limit p_limit
                for no key update of i skip locked
            ) as c
        ) as w
        where w.tokens is null or w.rank <= w.tokens
        order by w.side desc, w.intent_id
    );
end;
$$;

comment on function trade.lock_claimable_intents is
    'Locks waiting intents and returns their ids, sells first: those that mode, orders in doubt, reconciliation '
    'and rate tokens allow. None in a restored or copied database before its adoption.';

create or replace function trade.fire_exits_to_claim(p_broker text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The intents are claimed by this transaction: nobody needs to be woken for them.
    perform set_config('aegis.claims_at_once', 'on', true);
    perform trade.fire_exits(null, p_broker);
    perform set_config('aegis.claims_at_once', '', true);
exception when others then
    if bus.concerns_all(sqlstate) then
        raise;
    end if;

    -- What waits is claimed all the same; the worker of exits tries again.
    perform risk.note_failed_item('fire_exits', coalesce(p_broker, 'all brokers'), sqlstate, sqlerrm);
end;
$$;

comment on function trade.fire_exits_to_claim is
    'Fires the exits of a broker''s accounts (null: of all) just before their intents are claimed; an error is an incident '
    'and does not keep other intents from being claimed.';

create or replace function api.claim_intents(
    p_worker_id  bigint,
    p_limit      integer,
    p_broker     text default null,
    p_fire_exits boolean default false
)
returns table (
    order_id        bigint,
    fence           bigint,
    client_order_id text,
    broker          text,
    account         text,
    symbol          text,
    side            text,
    order_type      text,
    quantity        numeric,
    limit_price     numeric,
    send_before     timestamptz,
    send_within     interval,
    answer_timeout  interval
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan  -- replanning for each array took half of the run time
as $$
#variable_conflict use_column
declare
    v_ids    bigint[];
    v_orders bigint[];
begin
    perform bus.require_worker(p_worker_id), bus.require_limit(p_limit), bus.require_home(), risk.lock_gate_shared();

    if p_fire_exits then
        perform trade.fire_exits_to_claim(p_broker);
    end if;

    v_ids := trade.lock_claimable_intents(p_limit, p_broker);

    if v_ids = '{}' then
        return;
    end if;

    begin
        v_orders := trade.store_claims(p_worker_id, v_ids);
    exception when others then
        if bus.concerns_all(sqlstate) then
            raise;
        end if;

        v_orders := trade.store_claims_one_by_one(p_worker_id, v_ids);
    end;

    update bus.rate_limits as r
    set tokens = bus.tokens_now(r) - c.claimed,
        refilled_at = bus.clock()
    from (
        select a.broker, count(*) as claimed
        from trade.orders as o
        join trade.accounts as a on a.account_id = o.account_id
        where o.order_id = any(v_orders)
        group by a.broker
    ) as c
    where r.bucket = c.broker;

    return query
    select
        o.order_id, o.fence, o.client_order_id, b.broker, a.account, m.symbol, o.side, o.order_type, o.quantity,
        o.limit_price, o.send_before, b.send_within, b.answer_timeout
    from trade.orders as o
    join trade.accounts as a on a.account_id = o.account_id
    join trade.brokers as b on b.broker = a.broker
    join market.instruments as m on m.instrument_id = o.instrument_id
    where o.order_id = any(v_orders)
    order by o.order_id;
end;
$$;

comment on function api.claim_intents is
    'Claims waiting intents of one broker''s accounts (null: of all) and returns the orders to send; with p_fire_exits it '
    'first fires the exits due there, so that a stop costs one wake-up and one commit. Send each order within send_within '
    'of the start of this call, or unsend it; without an answer within answer_timeout, its result is unknown. Raises '
    'TRM02, TRI01, TRI04, TRH01.';
