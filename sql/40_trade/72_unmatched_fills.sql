-- 72_unmatched_fills: a fill, total or bust that matches nothing we know is kept; each different one is a row and an
-- incident.

create or replace function trade.shorten_facts(p_facts jsonb)
returns jsonb
language sql
immutable
begin atomic
    select jsonb_object_agg(e.key, case
        when octet_length(e.value::text) <= 1000 then e.value
        else to_jsonb(format('%s... (%s bytes, md5 %s)', left(e.value #>> '{}', 200), octet_length(e.value::text),
            md5(e.value::text)))
    end)
    from jsonb_each(p_facts) as e;
end;

comment on function trade.shorten_facts is
    'The facts as reported; a very long value is cut, with its length and md5 added.';

create or replace function trade.keep_unmatched(
    p_account text,
    p_order   text,
    p_key     text,
    p_detail  jsonb
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account_id bigint := trade.account_id(p_account);
    v_subject    text := concat_ws('/', p_account, left(p_order, 200), left(nullif(p_key, ''), 200));
    v_kept       trade.unmatched_fills;
    v_nth        bigint;
begin
    -- An old snapshot may lack the order, so it is refused: the caller must look again in a new one.
    perform bus.require_read_committed('the order of a fill');

    -- Serialize by account, so that each different report on one subject gets an incident of its own.
    perform trade.lock_account(v_account_id);

    insert into trade.unmatched_fills as u (account_id, subject, digest, facts)
    values (
        v_account_id, v_subject, md5(concat_ws('/', p_account, p_order, p_key, p_detail::text)),
        trade.shorten_facts(p_detail)
    )
    on conflict (account_id, digest) do update
    set times = u.times + 1,
        last_at = bus.clock()
    returning u.* into v_kept;

    select count(*) into v_nth
    from trade.unmatched_fills as u
    where u.account_id = v_account_id
      and md5(u.subject) = md5(v_subject)
      and u.unmatched_fill_id <= v_kept.unmatched_fill_id;

    perform api.raise_incident(
        'unmatched_fill', v_subject || case when v_nth > 1 then format(' (%s)', v_nth) else '' end,
        v_kept.facts
    );
    return 'UNMATCHED';
end;
$$;

comment on function trade.keep_unmatched is
    'Keeps a report that matches nothing we know: each different one is a row and an incident, repeats are counted. '
    'Returns UNMATCHED. Raises TRI02, TRM02.';

create or replace trigger _100_no_delete
before delete on trade.unmatched_fills
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on trade.unmatched_fills
for each statement execute function bus.tg_append_only();

create or replace view api.unmatched_fills as
select
    u.unmatched_fill_id,
    a.account,
    u.subject,
    u.facts,
    u.times,
    u.first_at,
    u.last_at
from trade.unmatched_fills as u
join trade.accounts as a on a.account_id = u.account_id;

comment on view api.unmatched_fills is
    'Fills, totals and busts that match nothing we know: one row for each different report, with how often it came.';
