-- 70_triggers: what changes a mode by itself.  A trigger is a row of risk.triggers over a measure; every sample that is
-- beyond its threshold counts, and enough of them in a row enter the mode of the trigger in the scope of the measure.

-- Each deployment builds one view from all measures, so that no query has to be planned at an evaluation.
do $$
declare
    v_measures text;
    v_unknown  text;
begin
    select string_agg(t.trigger_name, ', ' order by t.trigger_name) into v_unknown
    from risk.triggers as t
    where to_regclass(format('risk.measure_%s', t.measure)) is null;

    if v_unknown is not null then
        raise exception 'the measures of these triggers have no view: %', v_unknown
            using errcode = 'TRI02', hint = 'Add a view risk.measure_<measure> to sql/.';
    end if;

    select string_agg(
        format(
            'select %L::text as measure, m.scope, m.subject, m.value, m.evidence, m.measured_at from risk.%I as m',
            substr(v.viewname, length('measure_') + 1), v.viewname
        ),
        ' union all ' order by v.viewname
    )
    into strict v_measures
    from pg_catalog.pg_views as v
    where v.schemaname = 'risk' and starts_with(v.viewname, 'measure_');

    execute 'create or replace view risk.measures as ' || v_measures;
end;
$$;

comment on view risk.measures is 'What every measure shows now.';

create or replace function risk.is_beyond(
    p_value      numeric,
    p_comparison text,
    p_threshold  numeric
)
returns boolean
language sql
immutable
begin atomic
    select coalesce(case p_comparison
        when '<' then p_value < p_threshold
        when '<=' then p_value <= p_threshold
        when '>' then p_value > p_threshold
        when '>=' then p_value >= p_threshold
    end, false);
end;

comment on function risk.is_beyond is
    'Whether a measured value is beyond a threshold; false when it could not be measured.';

create or replace function risk.sample_triggers(p_measure text)
returns void
language sql
volatile
begin atomic
    insert into risk.trigger_states as s (
        trigger_name, scope, subject, value, evidence, is_true, samples, true_since, measured_at
    )
    select
        t.trigger_name, m.scope, m.subject, c.value, coalesce(bus.clip_json(m.evidence), '{}'), b.is_true,
        b.is_true::integer, case when b.is_true then bus.clock() end, bus.clock()
    from risk.triggers as t
    join risk.measures as m on m.measure = t.measure
    -- NaN and Infinity count as not measured.
    cross join lateral (select case when abs(m.value) < 1e18 then round(m.value, 18) end as value) as c
    cross join lateral (select risk.is_beyond(c.value, t.comparison, t.threshold) as is_true) as b
    where t.is_enabled and (p_measure is null or m.measure = p_measure)
    order by t.trigger_name, m.scope, m.subject
    on conflict (trigger_name, scope, subject) do update
    set value = excluded.value,
        evidence = excluded.evidence,
        is_true = excluded.is_true,
        samples = case when excluded.is_true then s.samples + 1 else 0 end,
        true_since = case when excluded.is_true then coalesce(s.true_since, excluded.true_since) end,
        measured_at = excluded.measured_at
    -- Sessions that evaluate at the same moment take one sample, not one each.
    where s.measured_at <= excluded.measured_at - interval '1 s';
end;

comment on function risk.sample_triggers is
    'Takes a sample of each enabled trigger over a measure, or over all measures when it is null; at most one a second.';

create or replace view risk.triggers_due as
select
    s.trigger_name,
    s.scope,
    s.subject,
    t.mode,
    format('%s: %s %s %s', t.trigger_name, trim_scale(s.value), t.comparison, trim_scale(t.threshold)) as reason,
    jsonb_build_object(
        'trigger', t.trigger_name, 'measure', t.measure, 'value', s.value, 'threshold', t.threshold,
        'samples', s.samples, 'true_since', s.true_since, 'facts', s.evidence
    ) as evidence
from risk.trigger_states as s
join risk.triggers as t on t.trigger_name = s.trigger_name
join risk.modes as m on m.mode = t.mode
where t.is_enabled
  and s.is_true
  and s.samples >= t.samples
  and s.true_since <= bus.clock() - t.lasting
  -- Once it has fired, it fires again only after it has been false.
  and (s.fired_at is null or s.fired_at < s.true_since)
  and m.severity > coalesce((
      select n.severity
      from (
          select y.mode from risk.system_mode as y where s.scope = 'system'
          union all
          select c.mode from risk.scoped_modes as c where c.scope = s.scope and c.name = s.subject
      ) as now_in
      join risk.modes as n on n.mode = now_in.mode
  ), -1);

comment on view risk.triggers_due is
    'Triggers that have been true for long enough and whose mode is stricter than the present one of their scope.';

create or replace function api.evaluate_triggers()
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_measure text;
    v_due     risk.triggers_due;
    v_count   integer := 0;
begin
    if not exists (select from risk.triggers as t where t.is_enabled)
        or exists (select from risk.trigger_states as s where s.measured_at > bus.clock() - interval '1 s') then
        return 0;
    end if;

    begin
        perform risk.sample_triggers(null);
    exception when others then
        if bus.concerns_all(sqlstate) then
            raise;
        end if;

        -- One measure fails: take the others one by one, so that it disables no other.
        for v_measure in select distinct t.measure from risk.triggers as t where t.is_enabled loop
            begin
                perform risk.sample_triggers(v_measure);
            exception when others then
                perform risk.note_failed_item('evaluate_triggers', format('measure %s', v_measure), sqlstate, sqlerrm);
            end;
        end loop;
    end;

    for v_due in select d.* from risk.triggers_due as d order by d.scope, d.subject, d.trigger_name loop
        begin
            perform risk.change_mode(v_due.scope, v_due.subject, v_due.mode, v_due.reason, v_due.evidence);
            update risk.trigger_states as s
            set fired_at = bus.clock()
            where (s.trigger_name, s.scope, s.subject) = (v_due.trigger_name, v_due.scope, v_due.subject);
            v_count := v_count + 1;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform risk.note_failed_item(
                'evaluate_triggers', format('trigger %s', v_due.trigger_name), sqlstate, sqlerrm
            );
        end;
    end loop;

    return v_count;
end;
$$;

comment on function api.evaluate_triggers is
    'Samples the enabled triggers, at most once a second, and enters the modes of those that have been true for long '
    'enough; the evidence is stored with each change. Returns how many fired. Raises TRM02.';

create or replace function risk.tg_triggers__check_measure()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass(format('risk.measure_%s', new.measure)) is null then
        raise exception 'there is no measure %', new.measure
            using errcode = 'TRI02', hint = 'Add a view risk.measure_<measure> to sql/ first.';
    end if;

    return new;
end;
$$;

comment on function risk.tg_triggers__check_measure is
    'Refuses a trigger whose measure has no view. Raises TRI02. A migration may insert one before its view exists: the '
    'deployment checks it at its end.';

create or replace trigger _200_check_measure
before insert or update on risk.triggers
for each row execute function risk.tg_triggers__check_measure();

create or replace view api.triggers as
select
    t.trigger_name,
    m.scope,
    m.subject,
    t.measure,
    m.value,
    t.comparison,
    t.threshold,
    t.mode,
    t.is_enabled,
    t.samples as samples_needed,
    t.lasting,
    s.samples,
    s.true_since,
    s.fired_at,
    t.meaning
from risk.triggers as t
left join risk.measures as m on m.measure = t.measure
left join risk.trigger_states as s
    on s.trigger_name = t.trigger_name and s.scope = m.scope and s.subject = m.subject;

comment on view api.triggers is
    'What changes a mode by itself: the value now beside each threshold, and when each last fired.';
