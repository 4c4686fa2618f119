-- 22_outages: records outages as soon as the database can be written again.  Each worker remembers since when it could
-- not work with the database and reports it on its return; reports of the same time become one incident, with the stops
-- and targets that were reached meanwhile and when they fired.

create or replace function risk.describe_outage(p_outage_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outage  risk.outages;
    v_workers jsonb;
    v_names   text;
    v_reason  text;
    v_times   tstzmultirange;
    v_seconds numeric;
    v_late    jsonb := risk.late_exits_of(p_outage_id);
    v_detail  jsonb;
begin
    select o.* into strict v_outage from risk.outages as o where o.outage_id = p_outage_id;

    select
        jsonb_agg(jsonb_build_object(
            'worker', w.name, 'from', r.began_at, 'until', r.ended_at, 'failures', r.failures, 'reason', r.reason
        ) order by r.began_at, r.worker_id),
        case when count(distinct w.name) > 3
            then count(distinct w.name) || ' workers'
            else string_agg(distinct w.name, ', ')
        end,
        mode() within group (order by r.reason),
        range_agg(tstzrange(r.began_at, r.ended_at, '[]'))
    into v_workers, v_names, v_reason, v_times
    from risk.outage_reports as r
    join bus.workers as w on w.worker_id = r.worker_id
    where r.outage_id = p_outage_id;

    select sum(extract(epoch from upper(t.part) - lower(t.part)))
    into v_seconds
    from unnest(v_times) as t (part);

    v_detail := jsonb_build_object(
        'message', format('%s could not write for %s s until %s: %s%s',
            v_names,
            round(v_seconds, 1),
            to_char(v_outage.ended_at at time zone 'UTC', 'HH24:MI:SS "UTC"'),
            v_reason,
            case when jsonb_array_length(v_late) > 0
                then format('; %s exits fired late, by up to %s s', jsonb_array_length(v_late), (
                    select coalesce(max((l.value ->> 'late_s')::numeric)::text, '?')
                    from jsonb_array_elements(v_late) as l
                ))
                else ''
            end),
        'from', v_outage.began_at,
        'until', v_outage.ended_at,
        'workers', v_workers,
        'late_exits', v_late
    );

    update risk.incidents as i
    set detail = v_detail
    where i.incident_id = v_outage.incident_id and i.detail <> v_detail;
end;
$$;

comment on function risk.describe_outage is 'Updates the incident of an outage from its reports so far.';

create or replace function risk.outage_of(
    p_began_at timestamptz,
    p_ended_at timestamptz
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outage_id   bigint;
    v_incident_id bigint;
begin
    -- Workers return at the same time: serialize them, or each would open an incident of its own.
    lock table risk.outages in share row exclusive mode;

    select o.outage_id
    into v_outage_id
    from risk.outages as o
    join risk.incidents as i on i.incident_id = o.incident_id
    where i.closed_at is null
      and p_began_at <= o.ended_at + interval '10 min'
      and p_ended_at >= o.began_at - interval '10 min'
    order by o.outage_id desc
    limit 1;

    if found then
        update risk.outages as o
        set began_at = least(o.began_at, p_began_at),
            ended_at = greatest(o.ended_at, p_ended_at)
        where o.outage_id = v_outage_id;
        return v_outage_id;
    end if;

    v_incident_id := api.raise_incident(
        'outage', to_char(p_began_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS'),
        jsonb_build_object('from', p_began_at)
    );
    insert into risk.outages (incident_id, began_at, ended_at)
    values (v_incident_id, p_began_at, p_ended_at)
    returning outage_id into v_outage_id;
    return v_outage_id;
end;
$$;

comment on function risk.outage_of is
    'The outage that a report of this time belongs to: an open one at most ten minutes away, else a new one with its '
    'incident.';

create or replace function api.record_outage(
    p_worker_id bigint,
    p_ago       interval,
    p_lasted    interval,
    p_failures  integer,
    p_reason    text
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_began_at  timestamptz := bus.clock() - least(greatest(p_ago, '0 s'), '30 days');
    v_ended_at  timestamptz := least(v_began_at + least(greatest(p_lasted, '0 s'), '30 days'), bus.clock());
    v_outage_id bigint;
begin
    perform bus.require_worker(p_worker_id);

    if (p_ago >= '0 s' and p_lasted >= '0 s' and p_failures >= 0 and bus.is_text(p_reason, 10000)) is not true then
        raise exception 'an outage began some time ago, lasted, and has a reason'
            using errcode = 'TRI01', hint = 'Two intervals from 0 s, a count, and a text of at most 10,000 bytes.';
    end if;

    v_outage_id := risk.outage_of(v_began_at, v_ended_at);

    -- The worker price_sync reports twice: before it sends the prices it kept, and with its heartbeat.
    update risk.outage_reports as r
    set ended_at = greatest(r.ended_at, v_ended_at),
        failures = greatest(r.failures, p_failures)
    where r.outage_id = v_outage_id
      and r.worker_id = p_worker_id
      and r.began_at between v_began_at - interval '1 s' and v_began_at + interval '1 s';

    if not found then
        insert into risk.outage_reports (outage_id, worker_id, began_at, ended_at, failures, reason)
        values (v_outage_id, p_worker_id, v_began_at, v_ended_at, p_failures, left(p_reason, 120));
    end if;

    perform risk.describe_outage(v_outage_id);
    return v_outage_id;
end;
$$;

comment on function api.record_outage is
    'Records that a worker could not write: how long ago that began, how long it lasted and why; reports of the same '
    'time form one incident. Returns the outage''s id. Raises TRI01, TRI04.';

create or replace function api.watch_workers()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker bus.workers;
    v_outage bigint;
    v_count  integer := 0;
begin
    perform from bus.workers as w limit 1;

    -- If we had to wait for this table, the heartbeats had to wait as well: report nothing.
    if bus.clock() - bus.now() > interval '1 s' then
        return 0;
    end if;

    for v_worker in
        select w.*
        from bus.workers as w
        where w.state <> 'stopped'
          and not bus.has_beaten(w.heartbeat_at, w.detail)
          and bus.worker_is_alive(w.worker_id)
          and not exists (
              select
              from risk.incidents as i
              where i.kind = 'hung_worker' and i.subject = left(w.name, 500) and i.closed_at is null
          )
    loop
        perform api.raise_incident('hung_worker', v_worker.name, jsonb_build_object(
            'message', format('%s (pid %s on %s) holds its lock and has sent no heartbeat since %s',
                v_worker.name, v_worker.pid, v_worker.host,
                to_char(v_worker.heartbeat_at at time zone 'UTC', 'HH24:MI:SS "UTC"')),
            'worker_id', v_worker.worker_id,
            'heartbeat_at', v_worker.heartbeat_at
        ));
        v_count := v_count + 1;
    end loop;

    -- An exit may fire after the last report of its outage.
    for v_outage in
        select o.outage_id
        from risk.outages as o
        join risk.incidents as i on i.incident_id = o.incident_id
        where i.closed_at is null and i.detail -> 'late_exits' @> '[{"fired_at": null}]'
    loop
        perform risk.describe_outage(v_outage);
    end loop;

    return v_count;
end;
$$;

comment on function api.watch_workers is
    'Opens an incident for each worker that holds its lock and has missed three heartbeats; returns how many. Also '
    'updates the incidents of outages with exits that had not fired.';

create or replace function api.report_waiting(
    p_strategies text[],
    p_reasons    text[]
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
begin
    delete from strategy.waits as w
    where not exists (select from unnest(p_strategies) as n (strategy) where n.strategy = w.strategy);

    insert into strategy.waits as w (strategy, reason)
    select s.strategy, left(n.reason, 120)
    from unnest(p_strategies, p_reasons) as n (strategy, reason)
    join strategy.strategies as s on s.strategy = n.strategy
    where n.reason is not null
    on conflict (strategy) do update set reason = excluded.reason;

    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function api.report_waiting is
    'Records which strategies should run but are not run by the supervisor now, and why; replaces its previous report. '
    'Returns how many.';
