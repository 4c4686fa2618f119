-- 385_adoption: a restored backup or a copy must not trade by itself.  At each start the database compares
-- what it knows of itself with the server it is on and with a marker kept outside; when they disagree it
-- halts under a new epoch until a person adopts it.

create or replace function bus.server_identity()
returns text
language sql
volatile
begin atomic
    select format('%s/%s', s.system_identifier, c.timeline_id)
    from pg_control_system() as s
    cross join pg_control_checkpoint() as c;
end;

comment on function bus.server_identity() is 'System identifier and timeline of the server.';

create or replace function bus.why_foreign(
    p_instance bus.instance,
    p_marker   text
)
returns text
language sql
volatile
begin atomic
    select case
        when p_instance.kind in ('replay', 'test') and p_marker is null then null
        when p_instance.run_number = 0 then null
        when p_instance.identity <> bus.server_identity() then
            format('it was on server %s and is on %s', p_instance.identity, bus.server_identity())
        when p_marker is null then null
        when p_marker = '' then 'the marker outside the database is missing'
        when split_part(p_marker, ':', 1) <> p_instance.epoch then
            format('the marker speaks of epoch %s, not %s', split_part(p_marker, ':', 1), p_instance.epoch)
        when split_part(p_marker, ':', 2)::bigint > p_instance.run_number then
            format('the marker has seen run %s, this database only %s',
                split_part(p_marker, ':', 2), p_instance.run_number)
    end;
end;

comment on function bus.why_foreign(bus.instance, text) is
    'Why a database is not the one that ran here last; null when it is. The marker is epoch:run_number, empty when missing, null where none is kept.';

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
    perform risk.lock_gate();
    select n.* into strict v_instance from bus.instance as n for update;
    v_why := bus.why_foreign(v_instance, p_marker);

    if v_why is not null then
        perform risk.change_mode('system', 'system', 'HALT', 'restored or copied database: ' || v_why,
            jsonb_build_object('identity', v_instance.identity, 'server', bus.server_identity(), 'marker', p_marker));
        perform api.raise_incident('foreign_database', current_database(), jsonb_build_object('why', v_why));
    end if;

    update bus.instance as n
    set started_at = bus.clock(),
        run_number = n.run_number + 1,
        identity = bus.server_identity(),
        is_foreign = n.is_foreign or v_why is not null,
        generation = n.generation + (v_why is not null)::integer,
        epoch = case when v_why is null then n.epoch else left(replace(gen_random_uuid()::text, '-', ''), 8) end
    returning n.* into v_instance;

    return query
    select v_instance.run_number, format('%s:%s', v_instance.epoch, v_instance.run_number),
        case when v_instance.is_foreign then coalesce(v_why, 'it was not adopted yet') end;
end;
$$;

comment on function api.begin_run(text) is
    'A start of all workers: each account''s claims wait for its first reconciliation since. Give the marker kept outside the database (epoch:run_number, empty when missing, null where none is kept) and keep the one returned. A database that is not the one that ran here last is halted under a new epoch. Raises TRI04.';

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
    v_id      bigint;
    v_expired integer := 0;
    v_doubt   integer;
begin
    perform risk.lock_gate();

    if not (select n.is_foreign from bus.instance as n) then
        return query select false, 'this database needs no adoption';
        return;
    end if;

    v_answer := risk.code_answer(p_code);

    if v_answer <> 'ok' then
        return query select false, v_answer;
        return;
    end if;

    for v_id in
        select i.intent_id
        from trade.order_intents as i
        where i.status in ('NEW', 'PENDING_APPROVAL')
        order by i.account_id, i.instrument_id, i.owner, i.intent_id
    loop
        perform trade.end_or_ask(v_id, 'EXPIRED', 'older than the restored database');
        v_expired := v_expired + 1;
    end loop;

    update trade.orders as o
    set status = 'IN_DOUBT',
        fence = o.fence + 1,
        next_ask_at = bus.clock()
    where o.status in ('SENDING', 'SUBMITTED', 'PARTIAL_FILLED');
    get diagnostics v_doubt = row_count;

    update bus.instance set is_foreign = false;
    update risk.incidents as i
    set closed_at = bus.clock()
    where i.kind = 'foreign_database' and i.closed_at is null;
    perform bus.record_event('instance', null, 'adopted', null,
        jsonb_build_object('reason', p_reason, 'expired', v_expired, 'in_doubt', v_doubt));

    return query select true, format('adopted: %s intents expired, %s orders in doubt; resume(reason, code) lets trading go on',
        v_expired, v_doubt);
end;
$$;

comment on function api.adopt(text, text) is
    'A person takes a restored or copied database into use: waiting intents expire, open orders are asked about; it stays halted until resume. A wrong code is answered, not raised, and remembered. Raises TRI04.';
