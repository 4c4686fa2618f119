-- The market in which every example begins: the account demo with 100,000,000 KRW on paper, and two symbols of the
-- simulated venue, quoted 70,000 to 70,100.  The administrator runs it once in a new database of kind test.

-- Only databases of the kinds test and replay have a clock that can be set.  Later sessions begin with it as well.
set aegis.now = '2026-03-02 10:00+09';
set search_path = api;
alter database :"DBNAME" set aegis.now = '2026-03-02 10:00+09';
alter database :"DBNAME" set search_path = api;

-- Client order ids begin with the epoch, which is random in a new database.  Here it has to be the same each time.
update bus.instance set epoch = 'example';
update bus.epochs set epoch = 'example';

-- A run begins when the workers start.  Execution registers: as worker 1.
set session authorization aegis_w_supervisor;
select begin_run();

set session authorization aegis_w_execution;
select register_worker('execution', 1, 'example');

-- The desk adds the account and what it may trade.
set session authorization aegis_desk;
select add_account('demo', 'paper', 'SIM', 'KRW', null, 100000000);
select add_instrument('SIM', '005930', 'Samsung Electronics', 'KRW', 'KRX', 1);
select add_instrument('SIM', '000660', 'SK hynix', 'KRW', 'KRX', 1);

-- A feed brings the first quotes.
set session authorization aegis_w_price_sync;
select open_feed('sim', 'SIM', 'sim');
select * from ingest_quotes(
    'sim', '{005930,000660}', '{2026-03-02 10:00+09,2026-03-02 10:00+09}', '{1,2}',
    '{70000,70000}', '{1000,1000}', '{70100,70100}', '{1000,1000}'
);

-- An account trades only after its books were compared with its broker's.
set session authorization aegis_w_reconcile;
select reconcile('demo', holdings_fingerprint('demo'), paper_snapshot('demo'));
