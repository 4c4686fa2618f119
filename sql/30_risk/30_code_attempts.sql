-- 30_code_attempts: each attempt at the override code is counted before the code is checked, and a rollback does not
-- undo that.

-- Advisory locks are keyed by (class, id): an attempt holds its own until its transaction commits or rolls back.
create or replace function risk.attempt_lock_class()
returns integer
language sql
immutable
parallel safe
begin atomic
    select 1634036842;
end;

comment on function risk.attempt_lock_class is
    'First key of the advisory lock that an attempt at the override code holds; the second key is its number.';

create or replace function risk.count_attempt(
    out p_code    risk.override_codes,
    out p_attempt bigint,
    out p_refusal text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now    bigint;
    v_locked bigint;
    v_wrong  bigint;
begin
    -- One attempt at a time.  This block rolls itself back, which releases the row lock, so a session that leaves its
    -- transaction open keeps nobody from trying.  The sequences keep their counts.
    begin
        select c.* into p_code from risk.override_codes as c for update;
        v_now := floor(extract(epoch from bus.clock()) * 1000);
        select s.last_value into strict v_locked from risk.override_locked_until as s;
        select s.last_value into strict v_wrong from risk.override_tries as s;

        if p_code is null then
            p_refusal := 'no override code is set: aegis set-code';
        elsif v_locked > v_now then
            p_refusal := 'the override code is locked until '
                || to_char(to_timestamp(v_locked / 1000.0), 'HH24:MI:SS TZ');
        else
            v_wrong := case when v_locked > 0 then 1 else v_wrong + 1 end;
            select s.last_value + 1 into strict p_attempt from risk.override_attempts_ever as s;
            -- A session-level lock, since the rollback of this block releases transaction-level ones.
            perform pg_advisory_lock(risk.attempt_lock_class(), p_attempt::integer);
            perform setval('risk.override_attempts_ever', p_attempt);
            perform setval('risk.override_tries', v_wrong);
            perform setval(
                'risk.override_locked_until', case when v_wrong >= 5 then v_now + 15 * 60 * 1000 else 0 end
            );
        end if;

        raise sqlstate 'UNDO0';
    exception when sqlstate 'UNDO0' then
        if p_attempt is not null then
            perform pg_advisory_xact_lock(risk.attempt_lock_class(), p_attempt::integer);
            perform pg_advisory_unlock(risk.attempt_lock_class(), p_attempt::integer);
        end if;
    end;
end;
$$;

comment on function risk.count_attempt is
    'Counts an attempt at the override code before the code is checked; the fifth in a row locks it for 15 minutes. '
    'Returns the number of the attempt and the stored code to compare with, or why no attempt is accepted.';

create or replace function risk.note_lost_attempts()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_count integer;
    v_first bigint;
    v_last  bigint;
begin
    with lost as (
        insert into risk.override_attempts as a (attempt_id, outcome, login)
        select n.attempt_id, 'ROLLED_BACK', null
        from risk.override_attempts_ever as s
        cross join generate_series(greatest(s.last_value - 999, 1), s.last_value) as n (attempt_id)
        where not exists (select from risk.override_attempts as t where t.attempt_id = n.attempt_id)
          and not exists (  -- its transaction has not ended yet
              select
              from pg_locks as l
              where l.locktype = 'advisory'
                and l.database = (select d.oid from pg_database as d where d.datname = current_database())
                and l.classid = risk.attempt_lock_class()::oid
                and l.objid = n.attempt_id::oid
          )
        on conflict do nothing  -- it has ended meanwhile and left its own record
        returning a.attempt_id
    )

    select count(*), min(l.attempt_id), max(l.attempt_id) into v_count, v_first, v_last from lost as l;

    if v_count > 0 then
        perform bus.record_event('refusal', v_last, 'TRA01', null, jsonb_build_object(
            'message', format('%s tries of the override code were rolled back', v_count),
            'first', v_first, 'last', v_last, 'noticed_at', bus.clock()
        ));
        perform api.raise_incident('code_guessing', 'override code', jsonb_build_object(
            'message', 'override codes were tried and rolled back: this looks like guessing',
            'tries', v_count, 'first', v_first, 'last', v_last, 'noticed_at', bus.clock()
        ));
    end if;

    return v_count;
end;
$$;

comment on function risk.note_lost_attempts is
    'Records the attempts at the override code whose own record was rolled back, as an event and an incident; '
    'returns how many.';

create or replace trigger _100_append_only
before update or delete on risk.override_attempts
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on risk.override_attempts
for each statement execute function bus.tg_append_only();

create or replace view api.override_attempts as
select a.attempt_id, a.outcome, a.login, a.noted_at from risk.override_attempts as a;

comment on view api.override_attempts is 'Every attempt at the override code.';
