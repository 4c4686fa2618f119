-- 10_jobs: scheduled jobs.

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
            when p_result >= j.full_batch then bus.clock()
            else bus.clock() + j.every
        end
    where j.job = p_job.job;

    if p_job.misses > 0 then
        perform risk.end_incident('job_missed', p_job.job);
    end if;
end;
$$;

comment on function bus.job_ran is
    'Records that a job has run: sets its next time and ends the incident about missed runs.';

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

    -- A short wait for a lock is normal; an error, or misses for over 10 s, open an incident.
    if p_error is not null or v_job.missing_since < bus.clock() - interval '10 s' then
        perform api.raise_incident('job_missed', v_job.job, jsonb_build_object(
            'since', v_job.missing_since, 'misses', v_job.misses,
            'why', coalesce(p_error, 'another session holds a lock it needs')
        ));
    end if;
end;
$$;

comment on function bus.job_missed is
    'Records that a job failed or, when the error is null, did not get its locks: counts the miss and retries soon; an '
    'error, or misses that last, open an incident.';

create or replace function api.run_due_jobs()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'  -- do not stay in a lock queue: everyone behind would wait as well
as $$
declare
    v_job    bus.jobs;
    v_result bigint;
begin
    -- Run at every call, not on a schedule: guessing codes and rolling back is noticed within a second.
    perform risk.note_lost_attempts();

    select j.* into v_job
    from bus.jobs as j
    where bus.is_over(j.next_run_at, j.every)
    order by j.next_run_at, j.job
    limit 1  -- one job per transaction: make_partitions locks the events, measure_equity the accounts
    for update skip locked;

    if not found then
        return 0;
    end if;

    begin
        execute format('select api.%I()', v_job.job) into v_result;
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
    'Runs the next due job; concurrent callers never run the same job at once. Returns how many jobs were tried, 0 or '
    '1: call it until 0. A job that fails or gets no lock within 200 ms is retried soon and stops no other.';
