-- 10_jobs: what is done by the clock.

create or replace function bus.job_ran(
    p_job    bus.jobs,
    p_result bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update bus.jobs as j
    set last_run_at = bus.clock(),
        last_result = p_result,
        runs = j.runs + 1,
        misses = 0,
        missing_since = null,
        next_run_at = case
            -- A full batch of seals means that more are waiting.
            when j.job = 'seal_events' and p_result = 1000 then bus.clock()
            else bus.clock() + j.every
        end
    where j.job = p_job.job;

    if p_job.misses > 0 then
        perform risk.end_incident('job_missed', p_job.job);
    end if;
end;
$$;

comment on function bus.job_ran is 'A job has run: when it is due next, and that it is missed no more.';

create or replace function bus.job_missed(
    p_job   bus.jobs,
    p_error text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_job bus.jobs;
begin
    update bus.jobs as j
    set misses = j.misses + 1,
        missing_since = coalesce(j.missing_since, bus.clock()),
        next_run_at = bus.clock() + least(j.every, interval '1 s' * least(j.misses + 1, 60))
    where j.job = p_job.job
    returning j.* into strict v_job;

    -- A lock that is not free at once is ordinary; one that is not free for long, and an error, are not.
    if p_error is not null or v_job.missing_since < bus.clock() - interval '10 s' then
        perform api.raise_incident('job_missed', v_job.job, jsonb_build_object(
            'since', v_job.missing_since, 'misses', v_job.misses,
            'why', coalesce(p_error, 'somebody holds what it has to lock')
        ));
    end if;
end;
$$;

comment on function bus.job_missed is
    'A job failed, or, where the error is null, did not get its locks: it is counted, tried again soon, and an '
    'incident when that lasts.';

create or replace function api.run_due_jobs()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'  -- never in a queue: everyone behind it would wait as well
as $$
declare
    v_job    bus.jobs;
    v_result bigint;
begin
    -- Not a job with a time of its own: whoever guesses codes and rolls back is seen within a second.
    perform risk.note_lost_attempts();

    select j.* into v_job
    from bus.jobs as j
    where bus.is_over(j.next_run_at, j.every)
    order by j.next_run_at, j.job
    limit 1  -- a transaction each: a partition locks the events, equity the accounts
    for update skip locked;

    if not found then
        return 0;
    end if;

    begin
        v_result := case v_job.job
            when 'seal_events' then api.seal_events(1000)
            when 'measure_equity' then api.measure_equity()
            when 'make_partitions' then api.make_partitions()
        end;
        perform bus.job_ran(v_job, v_result);
    exception
        when lock_not_available then
            perform bus.job_missed(v_job, null);
        when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform bus.job_missed(v_job, format('%s: %s', sqlstate, left(sqlerrm, 1000)));
    end;

    return 1;
end;
$$;

comment on function api.run_due_jobs is
    'Runs the job that is due by the clock, each once at a time whoever calls; returns how many were tried, 0 or 1: '
    'call it until 0. One that fails or gets no lock for 200 ms is tried again soon, and stops no other.';
