-- The path of an order from intent to fill.  The desk decides; then this script does what the execution worker does:
-- it stores the order, places it with the paper broker and brings the fill back.  Each step is one call.

set session authorization aegis_desk;

-- The decision.  It reserves cash at once: ten shares at the limit, plus the fee.
select create_intent('demo', '005930', 'BUY', 10, 70500, 'it looks cheap');
select intent_id, side, quantity, worst_price, status, reserved_cash from intents;
select cash, locked_cash, free_cash from accounts;

-- Execution claims it.  The order is now a row, and the broker has not heard of it yet.
set session authorization aegis_w_execution;
select order_id, fence, client_order_id, side, quantity, limit_price from claim_intents(1, 50);

-- Place it under its client order id (epoch, intent, attempt), and record the answer with the fence of the claim.
select * from paper_place('example-1-1', 'demo', '005930', 'BUY', 'LIMIT', 10, 70500);
select order_accepted(1, 1, '1');

-- The broker reports a fill, and execution records it.  Reported twice, it counts once.
select broker_fill_id, client_order_id, quantity, price, fee, tax from paper_fills_since('demo', 0, 50);
select record_fill('demo', 'example-1-1', '1', '1', 10, 70100, 105.15, 0, '2026-03-02 10:00+09');
select record_fill('demo', 'example-1-1', '1', '1', 10, 70100, 105.15, 0, '2026-03-02 10:00+09');

-- The books: shares in place of cash, and nothing reserved any more.
set session authorization aegis_desk;
select symbol, owner, qty, avg_price, cost, unrealized_pnl from positions;
select cash, locked_cash, free_cash from accounts;

-- The whole story, from the rows.
select station, what from explain(1);
