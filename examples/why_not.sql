-- Why did it not trade?  A pick that is refused keeps the answer of the gate that refused it, and an intent that ends
-- without a fill keeps the reason.  So the answer is always a query, never a search through logs.

set session authorization aegis_desk;
select add_strategy('momo', 'momo:Momo', 'demo', '{005930,000660}', 50000000, 5000000, 'swing');

-- The strategy proposes before anybody has started it.
set session authorization aegis_s_momo;
select propose('005930', 'BUY', p_reason => 'first try');
set session authorization aegis_w_router;
select route_picks(50);

-- Started, it proposes half a share.
set session authorization aegis_desk;
select start_strategy('momo');
set session authorization aegis_s_momo;
select propose('005930', 'BUY', p_quantity => 0.5, p_reason => 'half a share');
set session authorization aegis_w_router;
select route_picks(50);

-- Half a minute later no new quote has come.
set aegis.now = '2026-03-02 10:00:30+09';
set session authorization aegis_s_momo;
select propose('000660', 'BUY', p_reason => 'another symbol');
set session authorization aegis_w_router;
select route_picks(50);

-- What a strategy may not trade is refused at once.
set session authorization aegis_s_momo;
select propose('035420', 'BUY');

-- Each pick with the last answer it got.
set session authorization aegis_desk;
select pick_id, symbol, quantity, status, code, message from picks order by pick_id;
select station, what from explain_pick(3);

-- An intent that nobody claims in time ends as well, and says why.
select create_intent('demo', '005930', 'BUY', 1, 70500, p_ttl => '10 s');
set aegis.now = '2026-03-02 10:00:40+09';
set session authorization aegis_w_risk;
select expire_due();
set session authorization aegis_desk;
select at::time, station, what from explain(1);
