-- 22_events: the durable history: one event for each change, written once and never changed.

create or replace function bus.cause_of(p_frame text)
returns text
language sql
stable
begin atomic
    -- The frame of an SQL function names it without its schema, in the language of the server's messages.
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

comment on function bus.cause_of is
    'The api function in the outermost frame of a call stack, or direct SQL if that frame names none, as for a DO '
    'block. Other frames are ignored: they hold text of the caller, such as the body of a DO block.';

create or replace function bus.event_origin(
    out generation integer,
    out cause      text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_context text;
    v_frame   text;
begin
    get diagnostics v_context = pg_context;
    v_frame := split_part(v_context, e'\n', -1);
    cause := split_part(split_part(v_frame, ' api.', 2), '(', 1);

    if cause = '' then
        cause := bus.cause_of(v_frame);
    end if;

    if current_setting('synchronous_commit') = 'off' then
        perform bus.make_durable();
    end if;

    -- If this is not where the last run began, it is a copy or a restored dump that was not started yet. Its events
    -- belong to the generation that begin_run will open: its transaction ids may be lower than earlier ones.
    select n.generation + case
        when n.home_path = pg_relation_filepath('bus.instance') and n.home_started_at = pg_postmaster_start_time()
            then 0
        else (n.run_number > 0 and not bus.is_home(n))::integer
    end
    into strict generation
    from bus.instance as n;
end;
$$;

comment on function bus.event_origin is
    'The generation and the cause of the events that are about to be written; makes their transaction durable.';

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
    v_origin   record := bus.event_origin();
    v_event_id bigint;
begin
    insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
    values (
        v_origin.generation, v_origin.cause, p_entity, p_entity_id, p_change, p_intent_id,
        (select i.correlation_id from trade.order_intents as i where i.intent_id = p_intent_id), p_data
    )
    returning event_id into v_event_id;

    return v_event_id;
end;
$$;

comment on function bus.record_event is
    'Writes one event in the caller''s transaction, with its actor, cause and correlation id; returns its id.';

create or replace function bus.tg_append_only()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% of %.% is refused: history is append-only', tg_op, tg_table_schema, tg_table_name
        using errcode = 'TRL02',
              hint = 'Record a correction as a new row.';
end;
$$;

comment on function bus.tg_append_only is 'Refuses to change or remove history. Raises TRL02.';

create or replace trigger _100_append_only
before update or delete on bus.events
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on bus.events
for each statement execute function bus.tg_append_only();
