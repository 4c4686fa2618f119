-- 450_jobs: what is done by the clock.

create or replace function api.run_due_jobs()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_job    bus.jobs;
    v_result bigint;
    v_count  integer := 0;
begin
    for v_job in
        select j.*
        from bus.jobs as j
        where bus.is_over(j.next_run_at, j.every)
        order by j.next_run_at, j.job
        limit 1  -- a transaction each: a partition locks the events, equity the accounts
        for update skip locked
    loop
        begin
            v_result := case v_job.job
                when 'seal_events' then api.seal_events(1000)
                when 'measure_equity' then api.measure_equity()
                when 'make_partitions' then api.make_partitions()
            end;
        exception when others then
            -- A lock it could not get is no fault: it is due again after its time, and the others meanwhile.
            if bus.concerns_all(sqlstate) and sqlstate <> '55P03' then
                raise;
            end if;

            v_result := null;

            if sqlstate <> '55P03' then
                perform risk.note_failed_item('run_due_jobs', v_job.job, sqlstate, sqlerrm);
            end if;
        end;

        -- A full batch of seals means that more are waiting.
        update bus.jobs as j
        set last_run_at = bus.clock(),
            last_result = v_result,
            runs = j.runs + 1,
            next_run_at = case
                when v_job.job = 'seal_events' and v_result = 1000 then bus.clock()
                else bus.clock() + j.every
            end
        where j.job = v_job.job;
        v_count := v_count + 1;
    end loop;

    return v_count;
end;
$$;

comment on function api.run_due_jobs() is 'Runs the job that is due by the clock, each once at a time whoever calls; returns how many ran, 0 or 1: call it until 0.';
