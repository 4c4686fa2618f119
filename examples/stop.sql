-- Each fill of a strategy arms a stop and a target around the average price.  When a fresh bid reaches one of them,
-- the position is sold: once, however often the database is asked.

set session authorization aegis_desk;
select add_strategy('momo', 'momo:Momo', 'demo', '{005930}', 50000000, 5000000, 'swing');
select create_intent('demo', '005930', 'BUY', 10, 70500, 'momo enters', 'momo', 'ENTRY');
\i examples/setup/execute.sql

-- The profile swing: stop 3 % below the average price, target 6 % above, each on a tick.
set session authorization aegis_desk;
select symbol, owner, qty, avg_price, stop_price, take_price, is_armed from positions;

-- Two seconds later the bid is just above the stop, and nothing fires.
set aegis.now = '2026-03-02 10:00:02+09';
set session authorization aegis_w_price_sync;
select * from ingest_quotes(
    'sim', '{005930}', '{2026-03-02 10:00:02+09}', '{3}', '{68000}', '{500}', '{68100}', '{500}'
);
set session authorization aegis_w_exits;
select fire_exits();

-- Then the bid reaches it.
set aegis.now = '2026-03-02 10:00:04+09';
set session authorization aegis_w_price_sync;
select * from ingest_quotes(
    'sim', '{005930}', '{2026-03-02 10:00:04+09}', '{4}', '{67900}', '{500}', '{68000}', '{500}'
);
set session authorization aegis_w_exits;
select fire_exits();
select fire_exits();

-- The intent carries its reason, and may sell down to 3 % below the bid.
set session authorization aegis_desk;
select intent_id, intent_type, side, quantity, reason, worst_price, status from intents where side = 'SELL';
\i examples/setup/execute.sql

set session authorization aegis_desk;
select symbol, owner, qty, trim_scale(realized_pnl) as realized_pnl, is_armed from positions;
select at::time, station, what from explain(2);
