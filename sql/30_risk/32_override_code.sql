-- 32_override_code: the override code, which leaves HALT.  Three sequences count wrong codes in a row and all
-- attempts, and hold the end of a lock, because a rollback does not reset them.  A refusal about a code is returned,
-- never raised, so that the statement with the code in it is not logged.  The gate is not locked while a code is
-- checked, so no guesser delays a halt.

create or replace function risk.code_digest(
    p_salt   text,
    p_code   text,
    p_rounds integer
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hash bytea := sha256(convert_to(p_salt || p_code, 'UTF8'));
begin
    for v_round in 2..p_rounds loop  -- each round needs the one before: slow on purpose
        v_hash := sha256(v_hash);
    end loop;

    return encode(v_hash, 'hex');
end;
$$;

comment on function risk.code_digest is
    'sha256 of salt and code, repeated p_rounds times, as hex: slow on purpose, so that guessing takes days. Null '
    'for null.';

create or replace function risk.code_weakness(p_code text)
returns text
language sql
immutable
begin atomic
    select case
        when length(p_code) >= 8 is not true then 'an override code has at least 8 characters'
        when not bus.is_text(p_code, 200) then 'an override code has at most 200 bytes'
        when (select count(distinct c.letter) from regexp_split_to_table(p_code, '') as c (letter)) < 5 then
            'an override code has at least 5 different characters'
        when p_code ~ '^[0-9]*$' and length(p_code) < 14 then
            'an override code of digits alone has at least 14 of them'
    end;
end;

comment on function risk.code_weakness is 'Why a text is not acceptable as an override code; null when it is.';

create or replace function risk.check_override_code(p_code text)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_try    record;
    v_right  boolean;
    v_answer text;
    v_wrong  bigint;
begin
    perform risk.note_lost_attempts();
    select t.* into strict v_try from risk.count_attempt() as t;

    if v_try.p_refusal is not null then
        return v_try.p_refusal;
    end if;

    v_right := bus.is_text(p_code, 200) and (v_try.p_code).digest
        = risk.code_digest((v_try.p_code).salt, p_code, (v_try.p_code).rounds);

    if v_right is true then
        perform setval('risk.override_tries', 0, false);
        perform setval('risk.override_locked_until', 0, false);
        v_answer := 'ok';
    else
        select s.last_value into strict v_wrong from risk.override_tries as s;
        v_answer := case when v_wrong >= 5 then 'wrong override code: it is locked for 15 minutes'
            else format('wrong override code, %s more before it locks for 15 minutes', 5 - v_wrong) end;
    end if;

    insert into risk.override_attempts (attempt_id, outcome)
    values (v_try.p_attempt, case when v_right is true then 'ACCEPTED' else 'WRONG' end);
    return v_answer;
end;
$$;

comment on function risk.check_override_code is
    'Returns ok, or why the code is not accepted. Five wrong codes in a row lock it for 15 minutes; a rollback does '
    'not undo an attempt.';

create or replace function risk.refuse_code(p_message text)
returns void
language sql
volatile
begin atomic
    select bus.record_event('refusal', null, 'TRA01', null, jsonb_build_object('message', p_message));
end;

comment on function risk.refuse_code is
    'Records, as an event, a refusal about a code that is returned instead of raised.';

create or replace function api.resume(
    p_reason text,
    p_code   text default null
)
returns table (resumed boolean, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer text := 'ok';
    v_seen   bigint;
    v_at     timestamptz;
begin
    select max(h.mode_change_id) into v_seen from risk.mode_history as h where h.scope = 'system';

    if coalesce(trim(p_reason), '') = '' then
        v_answer := 'a change of mode needs a reason';
    elsif (select n.is_foreign from bus.instance as n) is not false then
        v_answer := 'this is a restored or copied database: adopt(reason, code) first';
    elsif (select s.mode from risk.system_mode as s) in ('NORMAL', 'SAFE') is not true then
        v_answer := risk.check_override_code(p_code);
    end if;

    if v_answer = 'ok' then
        begin
            perform risk.lock_gate_exclusive();

            if v_seen is distinct from (
                select max(h.mode_change_id) from risk.mode_history as h where h.scope = 'system'
            ) then
                v_answer := 'the mode was changed meanwhile: look why, then resume again';
            else
                v_at := risk.change_mode('system', 'system', 'NORMAL', p_reason, '{}');
            end if;
        exception when others then
            if sqlstate not like 'TR%' then
                raise;
            end if;
            v_answer := sqlerrm;
        end;
    end if;

    if v_answer <> 'ok' then
        perform risk.refuse_code(v_answer);
        return query select false, v_answer;
        return;
    end if;

    return query select true, format('NORMAL since %s', to_char(v_at, 'HH24:MI:SS TZ'));
end;
$$;

comment on function api.resume is
    'Resumes trading. Leaving HALT needs the override code. Every refusal is returned, not raised, and recorded. A '
    'halt that comes while the code is checked stays in force.';

create or replace function api.set_override_code(
    p_code    text,
    p_current text default null
)
returns table (changed boolean, message text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer text := coalesce(risk.code_weakness(p_code), 'ok');
    v_before text := (select c.salt from risk.override_codes as c);
    v_salt   text := replace(gen_random_uuid()::text, '-', '');
    v_rounds integer := 100000;
    v_digest text;
begin
    if v_answer = 'ok' and v_before is not null then
        v_answer := risk.check_override_code(p_current);
    end if;

    if v_answer = 'ok' then
        v_digest := risk.code_digest(v_salt, p_code, v_rounds);

        if v_before is null then
            insert into risk.override_codes (salt, digest, rounds) values (v_salt, v_digest, v_rounds)
            on conflict do nothing;
        else
            update risk.override_codes as c
            set salt = v_salt, digest = v_digest, rounds = v_rounds, set_by = session_user, set_at = bus.clock()
            where c.salt = v_before;
        end if;

        if not found then
            v_answer := 'another code was set meanwhile';
        end if;
    end if;

    if v_answer <> 'ok' then
        perform risk.refuse_code(v_answer);
        return query select false, v_answer;
        return;
    end if;

    return query select true, 'the override code is set'::text;
end;
$$;

comment on function api.set_override_code is
    'Sets the code that leaves HALT; changing it needs the current one. Every refusal, such as of a weak code, is '
    'returned, not raised.';

create or replace view api.override_code as
select
    c.set_by,
    c.set_at,
    c.rounds >= 100000 as is_slow,
    t.last_value as wrong_in_a_row,
    case
        when u.last_value > extract(epoch from bus.clock()) * 1000 then to_timestamp(u.last_value / 1000.0)
    end as locked_until,
    e.last_value as tries,
    (select count(*) from risk.override_attempts as a where a.outcome = 'ROLLED_BACK') as rolled_back
from risk.override_codes as c
cross join risk.override_tries as t
cross join risk.override_locked_until as u
cross join risk.override_attempts_ever as e;

comment on view api.override_code is
    'Whether a code that leaves HALT is set (no row when none is), and its attempts: wrong ones in a row, the end of '
    'a lock, the total, and how many were rolled back.';
