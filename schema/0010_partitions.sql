-- 0010_partitions: what events are already there become the first partition, so that the default one stays empty:
-- a partition is attached without reading it, and retention reaches the first events like any others.

do $$
begin
    -- A database whose partitions were made late keeps its events where they are.
    if exists (select from bus.events_default where event_id >= 10000000) then
        return;
    end if;

    alter table bus.events detach partition bus.events_default;
    alter table bus.events_default rename to events_from_0;
    alter index bus.events_default_pkey rename to events_from_0_pkey;
    alter index bus.events_default_intent_id_idx rename to events_from_0_intent_id_idx;
    alter index bus.events_default_entity_event_id_idx rename to events_from_0_entity_event_id_idx;
    alter index bus.events_default_generation_xid_event_id_idx rename to events_from_0_generation_xid_event_id_idx;
    alter table bus.events attach partition bus.events_from_0 for values from (0) to (10000000);
    create table bus.events_default partition of bus.events default;

    comment on table bus.events_from_0 is 'Events from 0.';
    comment on table bus.events_default is 'Events outside every partition made ahead: empty while those are made in time.';
end;
$$;
