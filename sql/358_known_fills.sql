-- 358_known_fills: whether we know an execution already.  A venue reports one again with other costs, for another
-- day, or corrected after it was taken back; what fits nothing is kept, each different fact.

create or replace function trade.known_fill(
    p_order          trade.orders,
    p_broker_fill_id text,
    p_date           date,
    p_is_time_told   boolean
)
returns trade.fills
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_known trade.fills;
begin
    -- Of its order it is the same whatever the day: it may be reported once on each side of midnight.  Without a
    -- time, now or before, it may stand under another day of the parent or child of an amend as well.
    select f.* into v_known
    from trade.fills as f
    where f.intent_id = p_order.intent_id
      and f.broker_fill_id = p_broker_fill_id
      and (f.order_id = p_order.order_id or not p_is_time_told or not f.is_time_told)
    order by f.revision desc, f.fill_id desc
    limit 1;

    if not found then
        select f.* into v_known
        from trade.fills as f
        where (f.account_id, f.instrument_id, f.trade_date, f.broker_fill_id)
            = (p_order.account_id, p_order.instrument_id, p_date, p_broker_fill_id)
        order by f.revision desc
        limit 1;
    end if;

    return v_known;
end;
$$;

comment on function trade.known_fill(trade.orders, text, date, boolean) is
    'The last report we have of an execution of an order; null when it is new.';

create or replace function trade.is_busted(p_fill_id bigint)
returns boolean
language sql
stable
begin atomic
    select exists (select from trade.busts as b where b.fill_id = p_fill_id);
end;

comment on function trade.is_busted(bigint) is 'Whether the venue took an execution back.';

create or replace function trade.is_old_news(
    p_known    trade.fills,
    p_quantity numeric,
    p_notional numeric
)
returns boolean
language sql
stable
begin atomic
    select exists (
        select
        from trade.fills as f
        join trade.fill_money as m on m.fill_id = f.fill_id
        where f.intent_id = p_known.intent_id
          and f.broker_fill_id = p_known.broker_fill_id
          and f.quantity = p_quantity
          and p_notional in (m.notional, f.quantity * f.price)
          and trade.is_busted(f.fill_id)
    );
end;

comment on function trade.is_old_news(trade.fills, numeric, numeric) is
    'Whether this is the report of an execution that was taken back, repeated with the same quantity and money.';

create or replace function trade.corrected_quantity(
    p_known    trade.fills,
    p_quantity numeric
)
returns numeric
language sql
stable
begin atomic
    select least(p_quantity, coalesce(max(f.quantity), 0))
    from trade.fills as f
    where f.intent_id = p_known.intent_id
      and f.broker_fill_id = p_known.broker_fill_id;
end;

comment on function trade.corrected_quantity(trade.fills, numeric) is
    'How much of its order and intent a corrected execution had used up before it was taken back.';

create or replace function trade.next_revision(
    p_known trade.fills,
    p_date  date
)
returns integer
language sql
stable
begin atomic
    -- Another order may have had the number on that day, and a correction of its own.
    select 1 + greatest(p_known.revision, max(f.revision))
    from trade.fills as f
    where (f.account_id, f.instrument_id, f.trade_date, f.broker_fill_id)
        = (p_known.account_id, p_known.instrument_id, p_date, p_known.broker_fill_id);
end;

comment on function trade.next_revision(trade.fills, date) is 'The revision of a corrected execution that is reported for a day.';

create or replace function trade.short_facts(p_facts jsonb)
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

comment on function trade.short_facts(jsonb) is 'Facts as they were reported; what is very long is cut and says how long it was.';

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
    -- In an old snapshot its order may be missing: whoever brings it must look again.
    perform bus.require_the_latest('the order of a fill');

    -- One after the other, so that each different fact of one subject gets an incident of its own.
    perform from trade.balances as b where b.account_id = v_account_id for no key update;

    insert into trade.unmatched_fills as u (account_id, subject, digest, facts)
    values (
        v_account_id, v_subject, md5(concat_ws('/', p_account, p_order, p_key, p_detail::text)), trade.short_facts(p_detail)
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

comment on function trade.keep_unmatched(text, text, text, jsonb) is
    'Keeps a fact that fits nothing we know, each different one as a row and an incident of its own, repeats counted; returns UNMATCHED. Raises TRI02, TRM02.';

create or replace trigger _100_no_delete
before delete on trade.unmatched_fills
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on trade.unmatched_fills
for each statement execute function bus.tg_append_only();
