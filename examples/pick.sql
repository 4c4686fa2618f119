-- A strategy says when; the database decides whether and how much.  Its pick passes three gates (system, market,
-- portfolio), and each gate keeps its answer as a row.

-- The desk adds a strategy: its budget, the size of an order, and the profile of its stop and target.
set session authorization aegis_desk;
select add_strategy('momo', 'momo:Momo', 'demo', '{005930,000660}', 50000000, 5000000, 'swing');
select start_strategy('momo');

-- The strategy has a login of its own, which may propose and read.  It names no quantity.
set session authorization aegis_s_momo;
select propose('005930', 'BUY', p_reason => 'fast average above slow');

-- The router takes the pick through the gates.
set session authorization aegis_w_router;
select route_picks(50);

-- The third gate sized it by the tightest of its bounds.
set session authorization aegis_desk;
select gate, passed, message from gate_results order by gate;
select bound, quantity
from gate_results, jsonb_each_text(detail -> 'bounds') as b (bound, quantity)
where gate = 3
order by quantity::numeric;

\i examples/setup/execute.sql

-- One query tells the story from the pick to the fill.
set session authorization aegis_desk;
select station, what from explain(1);
