-- Each change writes one event in its own transaction, and events are sealed in a chain of hashes.  A trigger refuses
-- to change them.  If a superuser removes the trigger and changes one, the audits name it.

set session authorization aegis_desk;
select create_intent('demo', '005930', 'BUY', 10, 70500, 'it looks cheap');
\i examples/setup/execute.sql

-- The events: who changed what.
set session authorization aegis_desk;
select actor, entity, change, data ->> 'quantity' as quantity, data ->> 'price' as price
from events where intent_id = 1 order by event_id;

-- A job of the scheduler seals them.  Both audits are empty, as they must be.
reset session authorization;
select seal_events() > 0 as sealed;
set session authorization aegis_desk;
select * from verify_seals();
select * from law_audit;

-- The desk may not write to the history at all.  The superuser may, but a trigger refuses.
update events set actor = 'nobody';
reset session authorization;
update bus.events set actor = 'nobody';
delete from bus.events;

-- Now the superuser disables the triggers, changes the price of the fill and deletes the decision that led to it.
alter table bus.events disable trigger user;
update bus.events set data = jsonb_set(data, '{price}', '69000') where entity = 'fill';
delete from bus.events where entity = 'intent' and change = 'NEW';

-- The seals still say what was there.
set session authorization aegis_desk;
select v.problem, e.entity, e.change
from verify_seals() as v left join events as e on e.event_id = v.event_id order by v.event_id;

-- The same with the books: ten shares that nobody bought.
reset session authorization;
alter table trade.positions disable trigger user;
update trade.positions set qty = qty + 10;
set session authorization aegis_desk;
select * from law_audit order by law;
