-- 100_bus: events, incidents, and when something is next due.

create or replace function bus.make_durable()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A replay can be made again, and writes faster than a disk can confirm.
    if exists (select from bus.instance as n where n.kind <> 'replay') then
        perform set_config('synchronous_commit', 'on', true);
    end if;
end;
$$;

comment on function bus.make_durable() is
    'Whatever the session or the server says of synchronous_commit: this transaction is on disk when it has committed.';

create or replace function bus.cause_of(p_frame text)
returns text
language sql
stable
begin atomic
    -- A frame of a function in SQL names it without its schema, in the language of the server's messages.
    select coalesce(
        (
            select p.proname::text
            from pg_catalog.pg_proc as p
            join pg_catalog.pg_language as l on l.oid = p.prolang
            where p.pronamespace = 'api'::regnamespace
              and l.lanname = 'sql'
              and p.proname = any(string_to_array(regexp_replace(p_frame, '[^a-z0-9_]+', ' ', 'g'), ' '))
            order by p.proname
            limit 1
        ),
        'direct SQL'
    );
end;

comment on function bus.cause_of(text) is
    'The function of the door that is the outermost frame of a call stack. That frame alone: the others hold text of the caller, such as the body of a DO block, whose own frame names no function of the door.';

create or replace function bus.record_event(
    p_entity    text,
    p_entity_id bigint,
    p_change    text,
    p_intent_id bigint,
    p_data      jsonb
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context  text;
    v_frame    text;
    v_cause    text;
    v_event_id bigint;
begin
    get diagnostics v_context = pg_context;
    v_frame := split_part(v_context, e'\n', -1);
    v_cause := split_part(split_part(v_frame, ' api.', 2), '(', 1);

    -- Asked apart: as a part of the insert below its plan would be made ready for each event.
    if v_cause = '' then
        v_cause := bus.cause_of(v_frame);
    end if;

    if current_setting('synchronous_commit') = 'off' then
        perform bus.make_durable();
    end if;

    -- Not where the last run began: a copy or a restored dump that was not started yet. What it says belongs to
    -- the generation that begin_run will open; its transactions may have lower numbers than those before.
    insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
    select
        n.generation + case
            when n.home_path = pg_relation_filepath('bus.instance') and n.home_started_at = pg_postmaster_start_time()
                then 0
            else (n.run_number > 0 and not bus.is_home(n))::integer
        end,
        v_cause,
        p_entity,
        p_entity_id,
        p_change,
        p_intent_id,
        (select i.correlation_id from trade.order_intents as i where i.intent_id = p_intent_id),
        p_data
    from bus.instance as n
    returning event_id into v_event_id;

    return v_event_id;
end;
$$;

comment on function bus.record_event(text, bigint, text, bigint, jsonb) is
    'Writes one event in the caller''s transaction, with its actor, cause and correlation; returns its id.';

create or replace function bus.require_the_latest(p_what text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'isolation level % could miss %', current_setting('transaction_isolation'), p_what
            using errcode = 'TRM02',
                  hint = 'Use read committed.';
    end if;
end;
$$;

comment on function bus.require_the_latest(text) is
    'Refuses a transaction whose snapshot is older than its statement. Raises TRM02.';

create or replace function risk.tg_incidents__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' or old is distinct from new then
        perform bus.record_event(
            'incident',
            new.incident_id,
            case when new.closed_at is not null then 'closed' when tg_op = 'INSERT' then 'opened' else 'changed' end,
            null,
            jsonb_build_object('kind', new.kind, 'subject', new.subject, 'detail', new.detail)
        );
    end if;

    return null;
end;
$$;

comment on function risk.tg_incidents__record() is
    'L9: each change of an incident is one event, so that the facts it was refreshed with before are kept.';

create or replace trigger _900_record
after insert or update on risk.incidents
for each row execute function risk.tg_incidents__record();

create or replace function api.raise_incident(
    p_kind    text,
    p_subject text,
    p_detail  jsonb
)
returns bigint
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    insert into risk.incidents as i (kind, subject, detail)
    -- As much as its index takes, and of the detail as much as anybody reads.
    values (left(coalesce(p_kind, ''), 100), left(coalesce(p_subject, ''), 500), bus.clip_json(p_detail))
    on conflict (kind, subject) where closed_at is null do update set detail = excluded.detail
    returning i.incident_id;
end;

comment on function api.raise_incident(text, text, jsonb) is
    'Opens an incident, or refreshes the open one of the same kind and subject; returns its id.';

create or replace function risk.end_incident(
    p_kind    text,
    p_subject text
)
returns void
language sql
volatile
begin atomic
    update risk.incidents as i
    set closed_at = bus.clock()
    where i.kind = p_kind and i.subject = left(p_subject, 500) and i.closed_at is null;
end;

comment on function risk.end_incident(text, text) is 'What an incident was about is over; nothing where none is open.';

create or replace function api.close_incident(
    p_incident_id bigint,
    p_note        text
)
returns timestamptz
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_closed_at timestamptz;
begin
    perform bus.require_text('the note', p_note, 2000);

    update risk.incidents as i
    set closed_at = bus.clock(),
        detail = case jsonb_typeof(i.detail) when 'object' then i.detail else jsonb_build_object('facts', i.detail) end
            || jsonb_build_object('closed_by', session_user, 'note', p_note)
    where i.incident_id = p_incident_id and i.closed_at is null and i.kind <> 'breach'
    returning i.closed_at into v_closed_at;

    if not found then
        raise exception 'there is no incident % that a person can close', p_incident_id
            using errcode = 'TRI02',
                  hint = 'A breach closes itself when it is over: select * from incidents where closed_at is null;';
    end if;

    return v_closed_at;
end;
$$;

comment on function api.close_incident(bigint, text) is
    'A person has dealt with an incident. One that still holds is opened again by whoever sees it. Raises TRI01, TRI02.';

create or replace function api.next_due()
returns interval
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select min(due.at) - bus.clock()
    from (
        select min(i.expires_at) as at
        from trade.order_intents as i
        where i.closed_at is null and i.expires_at > bus.clock()
        union all
        select min(i.not_before)
        from trade.order_intents as i
        where i.status = 'NEW' and i.not_before > bus.clock()
        union all
        select min(o.send_before)
        from trade.orders as o
        where o.status in ('SENDING', 'IN_DOUBT') and o.send_before > bus.clock()
        union all
        select min(o.next_ask_at)
        from trade.orders as o
        where o.status = 'IN_DOUBT' and o.next_ask_at > bus.clock()
        union all
        select min(o.next_ask_at)
        from trade.orders as o
        where o.cancel_requested_at is not null and (o.closed_at is null or o.stray_since is not null)
          and o.next_ask_at > bus.clock()
        union all
        select min(o.check_at)
        from trade.orders as o
        where o.check_at > bus.clock() and o.closed_at is null and o.cancel_requested_at is null
        union all
        select min(e.not_before)
        from trade.position_exits as e
        where e.is_armed and e.not_before > bus.clock()
        union all
        -- An account that has not agreed with its broker since the start is asked about until it has.
        select bus.clock() + interval '1 s'
        where exists (
            select
            from trade.accounts as a
            cross join bus.instance as n
            where a.reconciled_run is distinct from n.run_number
        )
        union all
        select min(p.expires_at)
        from strategy.picks as p
        where p.status = 'NEW' and p.expires_at > bus.clock()
    ) as due;
end;

comment on function api.next_due() is 'How long until the tables themselves want a worker to look; null when nothing is due.';

create or replace function bus.tg_append_only()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% of %.% is refused: history is only added to', tg_op, tg_table_schema, tg_table_name
        using errcode = 'TRL02',
              hint = 'Record a correction as a new row.';
end;
$$;

comment on function bus.tg_append_only() is 'Refuses to change or remove history. Raises TRL02.';

create or replace trigger _100_append_only
before update or delete on bus.events
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on bus.events
for each statement execute function bus.tg_append_only();
