-- A halt stops trading with one statement and holds from the moment it commits.  Buys are refused, intents that wait
-- are not claimed, and a sell needs a person.  Trading resumes only with the override code.

set session authorization aegis_desk;

-- When the system is set up, somebody chooses the code.
select * from set_override_code('open sesame 42');

-- Ten shares are held, and a buy of another symbol waits.
select create_intent('demo', '005930', 'BUY', 10, 70500);
\i examples/setup/execute.sql
set session authorization aegis_desk;
select create_intent('demo', '000660', 'BUY', 5, 69000);

select halt('the feed looks wrong');
select mode, reason, changed_by from system_mode;

-- A new buy is refused.
select create_intent('demo', '000660', 'BUY', 1, 70500);
\echo SQLSTATE :SQLSTATE

-- The buy that waits is not claimed.
set session authorization aegis_w_execution;
select symbol, side, quantity from claim_intents(1, 50);

-- A sell is admitted and waits for approval.
set session authorization aegis_desk;
select create_intent('demo', '005930', 'SELL', 10, 69000, 'get out');
select intent_id, symbol, side, quantity, reason from approvals;
select approve(3, 'agreed by phone');
\i examples/setup/execute.sql

-- Leaving the halt needs the code.  Each wrong one is counted, and the fifth locks the code for 15 minutes.
set session authorization aegis_desk;
select * from resume('the feed is fine', 'open sesame 24');
select * from resume('the feed is fine', 'open sesame 42');
select from_mode, to_mode, reason, changed_by from mode_history where from_mode is not null order by mode_change_id;
select outcome, login from override_attempts order by attempt_id;
