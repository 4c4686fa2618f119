-- 15_notifications: sending notifications without risk to the transaction.  PostgreSQL fails the commit of a
-- transaction that notifies while the notification queue is full, and makes it wait while another commit writes its
-- notifications.  Any login can cause both: with a listener that never reads, or a transaction that sends megabytes
-- of notifications.

create or replace function bus.can_notify()
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_first text;
    v_now   text;
begin
    -- A commit that notifies holds this lock until all its notifications are in the queue, usually for a moment. One
    -- that holds it for 20 ms is flooding the queue; then even asking how full the queue is would wait.
    for v_look in 1..20 loop
        v_now := (
            select min(l.virtualtransaction)
            from pg_locks as l
            where l.locktype = 'object' and l.classid = 'pg_database'::regclass and l.objid = 0 and l.granted
        );
        v_first := coalesce(v_first, v_now);
        exit when v_now is distinct from v_first or v_now is null;
        perform pg_sleep(0.001);
    end loop;

    -- Asking also frees what every listener has read. The other three quarters are room for what others send before
    -- we commit.
    return (v_now is null or v_now <> v_first) and pg_notification_queue_usage() < 0.25;
end;
$$;

comment on function bus.can_notify is
    'Whether a notification would neither fail nor wait behind a session that floods the queue.';

create or replace function bus.notify(
    p_channel text,
    p_payload text default ''
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now   constant bigint := extract(epoch from bus.clock()) * 1000;
    v_asked bigint := coalesce(nullif(current_setting('aegis.notify_asked_at', true), ''), '0');
begin
    -- Asking costs as much as ten notifications, so a session asks at most every 50 ms. The setting holds the time of
    -- the last answer in ms, negative if the answer was no.
    if v_now - abs(v_asked) not between 0 and 50 then
        v_asked := case when bus.can_notify() then v_now else -v_now end;
        perform set_config('aegis.notify_asked_at', v_asked::text, false);
    end if;

    if v_asked > 0 then
        perform pg_notify(p_channel, p_payload);
    end if;
end;
$$;

comment on function bus.notify is
    'Wakes the listeners of a channel, unless that could fail or take long; then they find the rows at their next '
    'poll. Anyone may listen, so a payload must hold no secret.';
