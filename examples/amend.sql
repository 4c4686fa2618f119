-- Two orders that rest at the broker: the desk cancels a buy, and a stop that is reached amends a sell.  A cancel is a
-- request until the broker confirms it; the replacement of an amended order is stored before the broker hears of it.

set session authorization aegis_desk;
select add_strategy('momo', 'momo:Momo', 'demo', '{005930}', 50000000, 5000000, 'swing');
select create_intent('demo', '005930', 'BUY', 10, 70500, 'momo enters', 'momo', 'ENTRY');
select create_intent('demo', '000660', 'BUY', 5, 69000, 'wait for a dip');
\i examples/setup/execute.sql

-- Cancel: a request first, because only the broker can say that the order is gone.
set session authorization aegis_desk;
select cancel_intent(2, 'changed my mind');
select order_id, status, cancel_requested_at::time from orders where intent_id = 2;
set session authorization aegis_w_execution;
select order_id, fence, client_order_id from claim_cancels(1, 50);
select * from paper_cancel('example-2-1');
select order_cancelled(2, 2, 0);
set session authorization aegis_desk;
select status, closed_reason, reserved_cash from intents where intent_id = 2;

-- Amend: the desk offers the ten shares at 74,000, which nobody pays.
select create_intent('demo', '005930', 'SELL', 10, 74000, 'take some profit', 'momo', 'EXIT');
\i examples/setup/execute.sql

-- The bid falls to the stop.  A second sell of the same shares would be an oversell, so this one is lowered.
set aegis.now = '2026-03-02 10:00:04+09';
set session authorization aegis_w_price_sync;
select * from ingest_quotes(
    'sim', '{005930}', '{2026-03-02 10:00:04+09}', '{3}', '{67900}', '{500}', '{68000}', '{500}'
);
set session authorization aegis_w_exits;
select fire_exits();

-- The replacement, order 4, is a row before the broker hears of it.
set session authorization aegis_w_execution;
select order_id, fence, client_order_id, parent_client_order_id, quantity, limit_price from claim_amends(1, 50);
select * from paper_replace('example-3-1', 'example-3-2', 65900);
select order_accepted(4, 1, '4', 10);
\i examples/setup/execute.sql

set session authorization aegis_desk;
select order_id, side, limit_price, status, closed_reason from orders order by order_id;
select station, what from explain(3);
