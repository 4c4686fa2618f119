-- 055_notify: a hint never forbids anything.  PostgreSQL refuses the commit of a transaction that notifies while
-- the notification queue is full, and any login can keep it full: a listener that never reads holds its tail.

create or replace function bus.notify(
    p_channel text,
    p_payload text default ''
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Asking also frees what everybody has heard. The rest of the queue is room for what others send until we commit.
    if pg_notification_queue_usage() < 0.25 then
        perform pg_notify(p_channel, p_payload);
    end if;
end;
$$;

comment on function bus.notify(text, text) is
    'Wakes whoever listens, while the queue has room; otherwise they find the rows at their next poll. Anybody may listen: a payload holds no secret.';

create or replace function bus.somebody_is_notifying()
returns boolean
language sql
volatile
begin atomic
    -- A commit that notifies holds this lock until it has written all its notifications.
    select exists (
        select
        from pg_catalog.pg_locks as l
        where l.locktype = 'object'
          and l.classid = 'pg_catalog.pg_database'::pg_catalog.regclass
          and l.objid = 0
    );
end;

comment on function bus.somebody_is_notifying() is
    'Whether a notifying commit would queue behind another now, which may take long when that one floods the queue.';
