-- 10_gate: the mode and its gate.  A transaction that admits an intent or claims an order holds risk.gate in row
-- share mode and reads the mode in a later statement.  A transaction that changes the mode holds the gate
-- exclusively.  So once a halt has committed, nothing it forbids can commit.

create or replace view risk.verdicts as
select
    a.account_id,
    r.action,
    m.mode,
    r.verdict
from trade.accounts as a
cross join lateral (
    select coalesce(o.mode, 'UNKNOWN') as mode
    from (
        select sm.mode from risk.system_mode as sm
        union all
        select sc.mode
        from risk.scoped_modes as sc
        where (sc.scope = 'broker' and sc.name = a.broker)
           or (sc.scope = 'account' and sc.name = a.account)
    ) as s
    left join risk.modes as o on o.mode = s.mode
    where exists (select from risk.system_mode)
    -- An unknown mode has no rules: sort it first, so that it counts as the strictest.
    order by o.severity desc nulls first
    limit 1
) as m
join risk.mode_rules as r on r.mode = m.mode;

comment on view risk.verdicts is
    'What the strictest mode says about each action of each account. A missing row means DENY.';

create or replace function risk.lock_gate_shared()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.require_read_committed('a halt');
    lock table risk.gate in row share mode;
end;
$$;

comment on function risk.lock_gate_shared is
    'Holds the gate until the transaction ends, so that the next statement reads the mode in force. Raises TRM02.';

create or replace function risk.refuse_action(
    p_mode    text,
    p_action  text,
    p_verdict text
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_verdict = 'APPROVE' then
        raise exception 'this intent needs a person''s approval'
            using errcode = 'TRM03',
                  hint = 'It may be stored as PENDING_APPROVAL: select * from approvals;';
    end if;

    raise exception 'mode % forbids %', coalesce(p_mode, 'UNKNOWN'), lower(replace(p_action, '_', ' '))
        using errcode = 'TRM01',
              hint = 'select mode, reason from system_mode; resume(reason, code) leaves HALT.';
end;
$$;

comment on function risk.refuse_action is
    'Refuses an action by what the mode says about it: it needs a person''s approval, or is forbidden. Raises TRM01, TRM03.';

create or replace function risk.require_mode_allows(
    p_account_id bigint,
    p_action     text
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_row risk.verdicts;
begin
    perform risk.lock_gate_shared();

    select v.* into v_row
    from risk.verdicts as v
    where v.account_id = p_account_id
      and v.action = p_action;

    if v_row.verdict in ('ALLOW', 'APPROVE') is not true then
        perform risk.refuse_action(v_row.mode, p_action, v_row.verdict);
    end if;

    return v_row.verdict;
end;
$$;

comment on function risk.require_mode_allows is
    'Holds the gate and returns ALLOW or APPROVE for an action of an account. Raises TRM01, TRM02.';
