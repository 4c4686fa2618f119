-- 20_modes: changing the mode: halt, safe, and the history that every change leaves, whoever makes it.  Leaving HALT
-- needs a code: see 32_override_code.

create or replace function risk.write_mode(
    p_scope    text,
    p_name     text,
    p_mode     text,
    p_reason   text,
    p_evidence jsonb
)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz;
begin
    if p_scope = 'system' then
        update risk.system_mode as s
        set mode = p_mode, reason = p_reason, evidence = p_evidence
        returning s.changed_at into strict v_now;
    else
        insert into risk.scoped_modes as s (scope, name, mode, reason, evidence)
        values (p_scope, p_name, p_mode, p_reason, p_evidence)
        on conflict (scope, name) do update
        set mode = excluded.mode, reason = excluded.reason, evidence = excluded.evidence
        returning s.changed_at into strict v_now;
    end if;

    return v_now;
end;
$$;

comment on function risk.write_mode is
    'Writes the mode of the system, a broker or an account; triggers write its history and its event.';

create or replace function risk.change_mode(
    p_scope    text,
    p_name     text,
    p_mode     text,
    p_reason   text,
    p_evidence jsonb
)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
declare
    v_patience interval := current_setting('lock_timeout');
    v_now      timestamptz;
    v_ended    jsonb := '[]';
begin
    if coalesce(trim(p_reason), '') = '' then
        raise exception 'a change of mode needs a reason'
            using errcode = 'TRI01', hint = 'Say why: it is shown to everyone who asks.';
    end if;

    -- Cut a long reason instead of refusing it: it must never block a halt.
    p_reason := left(p_reason, 2000);
    perform risk.lock_gate_exclusive();

    -- Even with the gate locked, another session may hold a row or a table that the change writes.
    for v_try in 1..25 loop
        begin
            perform risk.set_lock_patience(v_try, v_patience);
            v_now := risk.write_mode(p_scope, p_name, p_mode, p_reason, p_evidence);
            perform risk.record_ended(v_ended);
            return v_now;
        exception when lock_not_available then
            v_ended := v_ended || risk.end_gate_holders(v_try);
        end;
    end loop;

    perform risk.refuse_change('the mode could not be written');
end;
$$;

comment on function risk.change_mode is
    'Changes the mode of the system, a broker or an account with the gate locked, and ends sessions that block it, '
    'as lock_gate_exclusive does. Raises TRI01, TRI04.';

create or replace function api.halt(p_reason text)
returns timestamptz
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select risk.change_mode('system', 'system', 'HALT', p_reason, '{}');
end;

comment on function api.halt is
    'Stops all trading now; protective sells then need approval. Returns when the mode was changed. Raises TRI01, '
    'TRI04.';

create or replace function api.safe(p_reason text)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform risk.lock_gate_exclusive();

    if (select s.mode from risk.system_mode as s) in ('NORMAL', 'SAFE') is not true then
        raise exception 'the system is halted, which is stricter than SAFE'
            using errcode = 'TRI04',
                  hint = 'Leave HALT with resume(reason, code) first.';
    end if;

    return risk.change_mode('system', 'system', 'SAFE', p_reason, '{}');
end;
$$;

comment on function api.safe is
    'Stops all buying; sells continue. Returns when the mode was changed. Raises TRI01, TRI04.';

create or replace function risk.tg_mode__announce()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('mode', new.mode_change_id, new.to_mode, null, jsonb_build_object(
        'scope', new.scope, 'name', new.name, 'from', new.from_mode, 'reason', new.reason,
        'evidence', new.evidence, 'changed_at', new.changed_at
    ));
    return null;
end;
$$;

comment on function risk.tg_mode__announce is
    'Writes one event for each change of a mode. Sends no notification: a commit that notifies may have to wait, and '
    'a halt must not.';

create or replace trigger _900_announce
after insert on risk.mode_history
for each row execute function risk.tg_mode__announce();

create or replace trigger _100_append_only
before update or delete on risk.mode_history
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on risk.mode_history
for each statement execute function bus.tg_append_only();

-- These triggers fire for every writer of a mode: they lock the gate, record the login and keep the change.
create or replace function risk.tg_modes__lock_gate()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform risk.lock_gate_exclusive();
    new.changed_at := bus.clock();
    new.changed_by := session_user;
    return new;
end;
$$;

comment on function risk.tg_modes__lock_gate is
    'Locks the gate before a mode is written, and records the login and the time. Raises TRI04.';

create or replace function risk.tg_modes__keep_history()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into risk.mode_history (
        scope, name, from_mode, to_mode, reason, evidence, changed_by, changed_at, last_order_id
    )
    values (
        coalesce(to_jsonb(new) ->> 'scope', 'system'),
        coalesce(to_jsonb(new) ->> 'name', 'system'),
        case when tg_op = 'UPDATE' then old.mode end,
        new.mode,
        new.reason,
        new.evidence,
        new.changed_by,
        new.changed_at,
        -- Exact behind the gate: a claim holds it from before it takes the order number until its commit.
        (select case when s.is_called then s.last_value else 0 end from trade.orders_order_id_seq as s)
    );
    return null;
end;
$$;

comment on function risk.tg_modes__keep_history is 'Writes one row of history for each write of a mode.';

create or replace trigger _100_lock_gate
before insert or update on risk.system_mode
for each row execute function risk.tg_modes__lock_gate();

create or replace trigger _900_keep_history
after insert or update on risk.system_mode
for each row execute function risk.tg_modes__keep_history();

create or replace trigger _110_no_delete
before delete on risk.system_mode
for each row execute function bus.tg_append_only();

create or replace trigger _120_no_truncate
before truncate on risk.system_mode
for each statement execute function bus.tg_append_only();

create or replace trigger _100_lock_gate
before insert or update on risk.scoped_modes
for each row execute function risk.tg_modes__lock_gate();

create or replace trigger _900_keep_history
after insert or update on risk.scoped_modes
for each row execute function risk.tg_modes__keep_history();

create or replace trigger _110_no_delete
before delete on risk.scoped_modes
for each row execute function bus.tg_append_only();

create or replace trigger _120_no_truncate
before truncate on risk.scoped_modes
for each statement execute function bus.tg_append_only();
