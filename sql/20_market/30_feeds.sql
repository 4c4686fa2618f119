-- 30_feeds: price feeds: opening one, where it continues after a crash, and the status it reports.

create or replace function api.open_feed(
    p_feed   text,
    p_venue  text,
    p_source text
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_next_seq bigint;
begin
    perform bus.require_text('the feed', p_feed), bus.require_text('the venue', p_venue);

    if p_feed is null or (p_source in ('live', 'sim', 'replay')) is not true then
        perform bus.refuse_argument('a feed', 'named, and its source live, sim or replay');
    end if;

    if p_source is distinct from 'live' and exists (select from bus.instance as n where n.kind = 'live') then
        raise exception 'a % feed cannot bring prices into a live database', p_source
            using errcode = 'TRI04',
                  hint = 'Simulated and recorded prices belong in the demo or a replay: aegis up, aegis replay.';
    end if;

    if not exists (select from market.venues as v where v.venue = p_venue) then
        raise exception 'there is no venue %', p_venue
            using errcode = 'TRI02',
                  hint = 'select * from venues; a recording is named after its venue: binance_20240808.csv.gz.';
    end if;

    insert into market.feeds as f (feed, venue, source, status, run_number)
    select p_feed, p_venue, p_source, 'CONNECTED', n.run_number
    from bus.instance as n
    on conflict (feed) do update
    set venue = excluded.venue,
        source = excluded.source,
        status = 'CONNECTED',
        detail = '',
        seq_before_run = case when f.run_number = excluded.run_number then f.seq_before_run else f.last_seq end,
        run_number = excluded.run_number,
        last_heard_at = bus.clock()
    returning f.last_seq + 1 into v_next_seq;

    return v_next_seq;
end;
$$;

comment on function api.open_feed is
    'Marks a feed as connected; its source is live, sim or replay. Returns the next received_seq to use. Raises '
    'TRI01, TRI02, TRI04.';

create or replace function api.feed_position(p_feed text)
returns bigint
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select f.last_seq - f.seq_before_run from market.feeds as f where f.feed = p_feed;
end;

comment on function api.feed_position is
    'How many events a feed has brought since all workers were last started: where a recording continues after its '
    'reader has crashed.';

create or replace function api.feed_status(
    p_feed   text,
    p_status text,
    p_detail text
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_before text;
    v_detail text := left(coalesce(p_detail, ''), 2000);
begin
    if (p_status in ('CONNECTED', 'DISCONNECTED', 'ENDED')) is not true then
        perform bus.refuse_argument('the status', 'CONNECTED, DISCONNECTED or ENDED');
    end if;

    select f.status into v_before from market.feeds as f where f.feed = p_feed for no key update;

    if not found then
        raise exception 'feed % does not exist', left(p_feed, 100)
            using errcode = 'TRI02', hint = 'Call open_feed first.';
    end if;

    update market.feeds as f
    set status = p_status,
        detail = v_detail,
        last_heard_at = bus.clock()
    where f.feed = p_feed;

    if v_before is distinct from p_status then
        perform bus.record_event('feed', null, p_status, null,
            jsonb_build_object('feed', p_feed, 'before', v_before, 'detail', v_detail));
    end if;
end;
$$;

comment on function api.feed_status is
    'Heartbeat of a feed: its status (CONNECTED, DISCONNECTED or ENDED) and a note for people. Raises TRI01, TRI02.';
