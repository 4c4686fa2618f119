-- 0023_broker_facts: what generic code knew of the paper broker becomes a fact in a broker's row.

-- Both return another column, answer_timeout; sql/ creates them again.
drop function if exists api.claim_intents(bigint, integer);
drop function if exists api.claim_amends(bigint, integer);

alter table trade.brokers
add column fills_view text,
add constraint brokers_broker_plain check (broker ~ '^[a-z][a-z0-9_]*$'),
add constraint brokers_fills_view_plain check (fills_view ~ '^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$');

update trade.brokers as b set fills_view = 'paper.fills_waiting' where b.broker = 'paper';

comment on column trade.brokers.broker is 'Name of the adapter: paper is the file workers/brokers/paper.py.';
comment on column trade.brokers.answer_timeout is 'How long the worker waits for the answer to an order it sent.';
comment on column trade.brokers.fills_view is
    'A view with a column account_id: accounts for which the broker may have a fill to read, so that the others are not '
    'asked. Null: it may have one at any time. Obeyed from the next deployment on; until then like null.';
