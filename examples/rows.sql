-- Kinds of incidents and scheduled jobs are rows.  This adds a job that looks for a position of more than half of an
-- account: a row for the incident, a function and a row for the job.  No other code changes.

-- The desk buys too much of one symbol.
set session authorization aegis_desk;
select create_intent('demo', '005930', 'BUY', 800, 70500, 'all in');
\i examples/setup/execute.sql

-- A kind of incident that has no row is refused.
set session authorization aegis_w_risk;
select raise_incident('concentration', '005930 in demo', '{}');

-- What a migration would do, as the owner of the tables.  First the kind, with advice to the person who reads it.
reset session authorization;
set role aegis_owner;
insert into risk.incident_kinds (kind, severity, advice) values
('concentration', 'warning', 'More than half of an account is in one symbol. Sell some of it, or close this.');

-- Then the function: it takes no arguments and returns how much it did.
create function api.check_concentration()
returns bigint
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select count(api.raise_incident(
        'concentration', format('%s in %s', p.symbol, p.account), jsonb_build_object('share', round(s.share, 2))
    ))
    from api.positions as p
    join api.accounts as a on a.account = p.account
    cross join lateral (select (p.cost + p.unrealized_pnl) / a.equity as share) as s
    where s.share > 0.5;
end;

-- Then the job: how often the function runs.
insert into bus.jobs (job, every) values ('check_concentration', '1 min');
reset role;

-- The scheduler runs what is due, one job a call.  Four calls run the new one and the three that were there.
set session authorization aegis_w_scheduler;
select run_due_jobs() from generate_series(1, 4);

-- The job ran, and there is an incident with the advice of its kind.
set session authorization aegis_desk;
select every, runs, last_result from jobs where job = 'check_concentration';
select kind, severity, subject, detail from incidents where closed_at is null;
select advice from incidents where closed_at is null;
