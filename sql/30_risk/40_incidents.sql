-- 40_incidents: what a person should know about, one row for each kind and subject while it is open.

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

comment on function risk.tg_incidents__record is
    'Law L9: writes one event for each change of an incident, so that earlier details are kept when it is refreshed.';

create or replace trigger _900_record
after insert or update on risk.incidents
for each row execute function risk.tg_incidents__record();

create or replace function api.raise_incident(
    p_kind    text,
    p_subject text,
    p_detail  jsonb
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_incident_id bigint;
begin
    if not exists (select from risk.incident_kinds as k where k.kind = p_kind) then
        raise exception 'there is no kind of incident %', left(coalesce(p_kind, 'null'), 100)
            using errcode = 'TRI02', hint = 'select kind from incident_kinds;';
    end if;

    insert into risk.incidents as i (kind, subject, detail)
    -- Cut the subject to what the index can hold, and the detail to what a person would read.
    values (p_kind, left(coalesce(p_subject, ''), 500), bus.clip_json(p_detail))
    on conflict (kind, subject) where closed_at is null do update
    set detail = excluded.detail
    returning i.incident_id into strict v_incident_id;

    return v_incident_id;
end;
$$;

comment on function api.raise_incident is
    'Opens an incident, or refreshes the open one of the same kind and subject; returns its id. Raises TRI02 for an '
    'unknown kind.';

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

comment on function risk.end_incident is 'Closes the open incident of this kind and subject, if there is one.';

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

comment on function api.close_incident is
    'Closes an incident that a person has dealt with. If its cause persists, whatever detects it opens it again. '
    'Raises TRI01, TRI02.';
