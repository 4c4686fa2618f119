-- 30_runs: a restored backup or a copy must not trade by itself.  At each start the database compares its stored
-- identity with the server it is on and with a marker kept outside the database.  If they disagree, it halts under a
-- new epoch until a person adopts it.

create or replace function bus.run_marker()
returns text
language sql
volatile
begin atomic
    select format('%s:%s:%s', n.epoch, n.run_number, pg_current_wal_flush_lsn())
    from bus.instance as n;
end;

comment on function bus.run_marker is
    'The marker to keep outside the database: epoch, run number, and the WAL position flushed to disk. A database '
    'that has less than its marker is an older state.';

create or replace function bus.why_foreign(
    p_instance bus.instance,
    p_marker   text
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- epoch:run_number:flushed WAL position
    v_marker text[] := regexp_match(left(p_marker, 200), '^([^:]+):(\d{1,18}):([0-9A-F]{1,8}/[0-9A-F]{1,8})$');
begin
    return case
        when p_instance.run_number = 0 then null
        when p_instance.identity is distinct from bus.server_identity() then
            format('it was on server %s and is on %s', p_instance.identity, bus.server_identity())
        when p_marker is null then null
        when p_marker = '' then 'the marker outside the database is missing'
        when v_marker is null then 'the marker outside the database cannot be read'
        when v_marker[1] <> p_instance.epoch then
            format('the marker speaks of epoch %s, not %s', v_marker[1], p_instance.epoch)
        when v_marker[2]::bigint > p_instance.run_number then
            format('the marker has seen run %s, this database only %s', v_marker[2], p_instance.run_number)
        when v_marker[3]::pg_lsn > pg_current_wal_flush_lsn() then
            format('the marker has seen its log up to %s, which here ends at %s', v_marker[3],
                pg_current_wal_flush_lsn())
    end;
end;
$$;

comment on function bus.why_foreign is
    'Why this database is not the one that last ran here; null when it is. p_marker is what run_marker returned, '
    'empty when it is missing, null when none is kept.';

create or replace function bus.open_epoch(p_why text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before bus.instance;
    v_after  bus.instance;
begin
    select n.* into strict v_before from bus.instance as n for update;

    -- Set the generation and the identity first: another server may have lower transaction ids, and events recorded
    -- from here on must sort after all earlier ones.
    update bus.instance as n
    set generation = n.generation + 1,
        epoch = left(replace(gen_random_uuid()::text, '-', ''), 8),
        is_foreign = true,
        identity = bus.server_identity()
    returning n.* into v_after;
    perform bus.note_home();

    update bus.epochs as e
    set ended_at = bus.clock(),
        last_paper_order_id = coalesce((select max(o.paper_order_id) from paper.orders as o), 0)
    where e.ended_at is null;
    insert into bus.epochs (epoch, generation) values (v_after.epoch, v_after.generation);

    perform bus.record_event('instance', null, 'foreign', null, jsonb_build_object(
        'why', p_why, 'identity', v_before.identity, 'server', bus.server_identity(),
        'epoch_before', v_before.epoch, 'epoch', v_after.epoch
    ));
    perform risk.change_mode('system', 'system', 'HALT', 'restored or copied database: ' || p_why,
        jsonb_build_object('identity', v_before.identity, 'server', bus.server_identity()));
    perform api.raise_incident('foreign_database', current_database(), jsonb_build_object(
        'message', format('%s; nothing is sent until a person adopts it', p_why), 'why', p_why
    ));
end;
$$;

comment on function bus.open_epoch is
    'Treats this database as a restored backup or a copy: begins a new generation and epoch, and halts. The caller '
    'holds the gate. Raises TRI04.';

create or replace function api.begin_run(p_marker text default null)
returns table (run_number bigint, marker text, foreign_because text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_instance bus.instance;
    v_why      text;
begin
    perform risk.lock_gate_exclusive();
    select n.* into strict v_instance from bus.instance as n for update;
    v_why := bus.why_foreign(v_instance, p_marker);

    if v_why is not null then
        perform bus.open_epoch(v_why);
    end if;

    update bus.instance as n
    set started_at = bus.clock(),
        run_number = n.run_number + 1,
        identity = bus.server_identity()
    returning n.* into v_instance;
    perform bus.note_home();
    perform risk.end_incident('not_started_here', current_database());

    return query
    select v_instance.run_number, bus.run_marker(),
        case when v_instance.is_foreign then coalesce(v_why, 'it was not adopted yet') end;
end;
$$;

comment on function api.begin_run is
    'Begins a run; called when all workers start. Each account''s claims then wait for its first reconciliation in '
    'the run. Pass the marker kept outside the database (empty when missing, null when none is kept) and keep the '
    'one returned. A database that is not the one that last ran here is halted under a new epoch. Only the '
    'supervisor''s login may call it. Raises TRI04.';

create or replace function api.run_marker(p_marker text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instance bus.instance;
    v_why      text;
begin
    select n.* into strict v_instance from bus.instance as n;
    v_why := bus.why_foreign(v_instance, p_marker);

    if v_why is not null then
        raise exception 'this database was replaced by another state of itself: %', v_why
            using errcode = 'TRI04',
                  hint = 'Restart the workers; the database stays halted until a person adopts it.';
    end if;

    perform bus.note_home();
    return bus.run_marker();
end;
$$;

comment on function api.run_marker is
    'Given the marker kept last, returns the one to keep now. The supervisor calls it every few seconds, so that an '
    'older state of the same run is recognised. Raises TRI04.';

create or replace function api.adopt(
    p_reason text,
    p_code   text
)
returns table (adopted boolean, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer  text;
    v_expired integer;
    v_doubt   integer;
begin
    -- Check the code before locking the gate: a guesser must not hold it, and nobody should wait for the slow check.
    if (select n.is_foreign from bus.instance as n) is not true then
        v_answer := 'this database needs no adoption';
    else
        v_answer := risk.check_override_code(p_code);
    end if;

    if v_answer = 'ok' then
        perform risk.lock_gate_exclusive();

        if (select n.is_foreign from bus.instance as n) is not true then
            v_answer := 'this database was adopted meanwhile';
        end if;
    end if;

    if v_answer <> 'ok' then
        perform risk.refuse_code(v_answer);
        return query select false, v_answer;
        return;
    end if;

    v_expired := trade.expire_waiting('older than the restored database');

    update trade.orders as o
    set status = 'IN_DOUBT',
        fence = o.fence + 1,
        next_ask_at = bus.clock()
    where o.status in ('SENDING', 'SUBMITTED', 'PARTIAL_FILLED');
    get diagnostics v_doubt = row_count;

    update bus.instance set is_foreign = false;
    perform risk.end_incident('foreign_database', current_database());
    perform bus.record_event('instance', null, 'adopted', null,
        jsonb_build_object('reason', left(p_reason, 2000), 'expired', v_expired, 'in_doubt', v_doubt));

    return query select true, format(
        'adopted: %s intents expired, %s orders in doubt; resume(reason, code) lets trading go on',
        v_expired, v_doubt
    );
end;
$$;

comment on function api.adopt is
    'Puts a restored or copied database into use, by decision of a person: waiting intents expire, and the broker is '
    'asked about open orders. Trading stays halted until resume. A wrong code is returned, not raised, and recorded. '
    'Raises TRI04.';
