-- 95_always_triggers: laws hold for every writer.  With session_replication_role = replica, which a superuser may set and the
-- worker of a logical subscription has, a trigger fires only if it is enabled `always`.  `create or replace trigger`
-- resets that, so this file runs after all triggers, at each deployment.

do $$
declare
    v_trigger record;
begin
    for v_trigger in
        select t.tgrelid::regclass as of_table, t.tgname
        from pg_catalog.pg_trigger as t
        join pg_catalog.pg_class as c on c.oid = t.tgrelid
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where pg_catalog.pg_get_userbyid(n.nspowner) = 'aegis_owner'
          and c.relkind in ('r', 'p')
          and not t.tgisinternal
          and t.tgparentid = 0  -- triggers of partitions follow their parent
          and t.tgenabled <> 'A'
        order by 1, 2
    loop
        execute format('alter table %s enable always trigger %I', v_trigger.of_table, v_trigger.tgname);
    end loop;
end;
$$;
