-- 30_overdue: orders and intents that have been in a state for too long.  Every state has a way out; when none was
-- taken in time, something is broken that only a person can resolve: look, then call cancel_intent or declare_lost.

create or replace view api.overdue as
select
    l.state,
    s.subject,
    s.since,
    l.longest,
    l.because
from bus.instance as n
cross join trade.state_limits as l
cross join lateral (
    select format('order %s', o.order_id) as subject, o.send_before as since
    from trade.orders as o
    where l.state = 'order SENDING' and o.status = 'SENDING' and o.send_before < bus.clock() - l.longest
    union all
    select format('order %s', o.order_id), o.state_since
    from trade.orders as o
    where l.state = 'order IN_DOUBT' and o.status = 'IN_DOUBT' and o.state_since < bus.clock() - l.longest
    union all
    select format('order %s', o.order_id), o.cancel_requested_at
    from trade.orders as o
    where l.state = 'order with a cancel asked'
      and o.cancel_requested_at < bus.clock() - l.longest
      and (o.closed_at is null or o.stray_since is not null)
      and o.stray_since is null
    union all
    select format('order %s', o.order_id), o.check_at
    from trade.orders as o
    where l.state = 'order not checked'
      and o.check_at < bus.clock() - l.longest
      and o.closed_at is null
      and o.cancel_requested_at is null
    union all
    select format('order %s', o.order_id), o.stray_since
    from trade.orders as o
    where l.state = 'order stray' and o.stray_since < bus.clock() - l.longest
    union all
    select format('intent %s', i.intent_id), i.expires_at
    from trade.order_intents as i
    where l.state = 'intent past its time'
      and i.closed_at is null
      and i.expires_at < bus.clock() - l.longest
      and not exists (
          select
          from trade.orders as o
          where o.intent_id = i.intent_id and o.closed_at is null and o.cancel_requested_at is not null
      )
    union all
    select format('intent %s', i.intent_id), i.claimed_at
    from trade.order_intents as i
    where l.state = 'intent CLAIMED'
      and i.closed_at is null
      and i.status = 'CLAIMED'
      and i.claimed_at < bus.clock() - l.longest
) as s
-- While the system was down nothing could end the state: report only after it has run for that long.
where n.started_at < bus.clock() - l.longest;

comment on view api.overdue is
    'Orders and intents that have been in a state longer than allowed, and what should have ended it.';

create or replace function api.report_overdue()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    select count(api.raise_incident('overdue', format('%s: %s', d.subject, d.state), jsonb_build_object(
        'message', format('%s has been so since %s; %s', d.subject, d.since, d.because), 'since', d.since
    )))
    into v_count
    from api.overdue as d
    where not exists (
        select
        from risk.incidents as c
        where c.kind = 'overdue' and c.subject = format('%s: %s', d.subject, d.state) and c.closed_at is null
    );

    update risk.incidents as c
    set closed_at = bus.clock()
    where c.kind = 'overdue'
      and c.closed_at is null
      and not exists (select from api.overdue as d where c.subject = format('%s: %s', d.subject, d.state));

    return v_count;
end;
$$;

comment on function api.report_overdue is
    'Opens an incident for each order and intent that has been in a state longer than allowed, and closes those that '
    'are over; returns how many are new.';
