-- 22_system_mode: the mode as a view for psql: select reads it, and an update can halt without calling a function.

create or replace view api.system_mode as
-- A with clause, because data-grid tools send `select ... for update` of this view, which must not lock the row.
with current_mode as (
    select s.mode, s.reason, s.changed_by, s.changed_at, s.evidence
    from risk.system_mode as s
)

select
    m.mode,
    m.reason,
    m.changed_by,
    m.changed_at,
    m.evidence,
    null::text as code
from current_mode as m;

comment on view api.system_mode is
    'The mode of the system. update system_mode set mode = ''HALT'', reason = ''why'' works; leaving HALT needs the '
    'column code.';

create or replace function api.tg_system_mode__update()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_answer record;
begin
    -- Skip only an unchanged NORMAL. The same mode with another reason is a change, and a halt is never skipped: the
    -- row may have changed since it was read.
    if new.mode = 'NORMAL' and new.mode = old.mode and new.reason = old.reason then
        return new;
    end if;

    case new.mode
        when 'HALT' then perform api.halt(new.reason);
        when 'SAFE' then perform api.safe(new.reason);
        when 'NORMAL' then
            select * into v_answer from api.resume(new.reason, new.code);

            if v_answer.resumed is not true then
                raise warning '%', v_answer.message;
                return null;
            end if;
        else
            raise exception 'there is no mode %', new.mode
                using errcode = 'TRI01', hint = 'NORMAL, SAFE or HALT.';
    end case;

    select s.mode, s.reason, s.changed_by, s.changed_at into new.mode, new.reason, new.changed_by, new.changed_at
    from risk.system_mode as s;
    return new;
end;
$$;

comment on function api.tg_system_mode__update is
    'An update of the view calls halt, safe or resume. A wrong code is a warning and changes nothing. Raises TRI01, '
    'TRI04.';

create or replace trigger _100_update
instead of update on api.system_mode
for each row execute function api.tg_system_mode__update();

create or replace view api.mode_history as
select h.mode_change_id, h.scope, h.name, h.from_mode, h.to_mode, h.reason, h.evidence, h.changed_by, h.changed_at
from risk.mode_history as h;

comment on view api.mode_history is 'Every change of a mode.';
