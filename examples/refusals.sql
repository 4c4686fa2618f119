-- Nobody sells more than is held or spends more than there is.  A live intent reserves its shares or its cash, and
-- an intent that finds too little left is refused, whoever writes it.

set session authorization aegis_desk;
select create_intent('demo', '005930', 'BUY', 10, 70500);
\i examples/setup/execute.sql

-- An oversell: ten shares are held.
set session authorization aegis_desk;
select create_intent('demo', '005930', 'SELL', 11, 69000);
\echo SQLSTATE :SQLSTATE

-- Six may be sold, and then only four are free.
select create_intent('demo', '005930', 'SELL', 6, 72000);
select create_intent('demo', '005930', 'SELL', 6, 72000);
select symbol, qty, locked_qty, free_qty from positions;

-- An overspend: the worst price and the fee have to be there, not just the price.
select create_intent('demo', '000660', 'BUY', 1500, 70000);
\echo SQLSTATE :SQLSTATE

-- The rule is a trigger on the table, so it also binds an administrator who writes the row directly.
reset session authorization;
insert into trade.order_intents (
    account_id, instrument_id, owner, intent_type, side, reason, quantity, worst_price, reserved_qty, reserved_cash,
    idempotency_key, request, expires_at
) values (1, 1, 'manual', 'MANUAL', 'SELL', 'by force', 11, 69000, 11, 0, 'by force', '{}', '2026-03-02 10:01+09');

-- Refused intents leave nothing behind: these two exist.
set session authorization aegis_desk;
select intent_id, symbol, side, quantity, status from intents order by intent_id;
