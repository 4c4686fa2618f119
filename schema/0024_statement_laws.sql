-- 0024_statement_laws: most laws become triggers for a whole statement; sql/ creates them again.

drop trigger if exists _100_guard on trade.order_intents;
drop trigger if exists _120_within_bounds on trade.order_intents;
drop trigger if exists _200_check_beginning on trade.order_intents;
drop trigger if exists _210_check_move on trade.order_intents;
drop trigger if exists _500_reserve_new on trade.order_intents;
drop trigger if exists _510_reserve_change on trade.order_intents;
drop trigger if exists _900_notify_new on trade.order_intents;
drop trigger if exists _910_notify_again on trade.order_intents;
drop trigger if exists _950_record_new on trade.order_intents;
drop trigger if exists _960_record_change on trade.order_intents;

drop trigger if exists _100_guard_new on trade.orders;
drop trigger if exists _120_within_bounds on trade.orders;
drop trigger if exists _200_check_beginning on trade.orders;
drop trigger if exists _210_check_move on trade.orders;
drop trigger if exists _300_check_exposure on trade.orders;
drop trigger if exists _950_record_new on trade.orders;
drop trigger if exists _960_record_change on trade.orders;

drop trigger if exists _900_record on trade.positions;
drop trigger if exists _900_record on trade.fills;

drop function if exists trade.tg_order_intents__check_bounds();
drop function if exists trade.tg_order_intents__check_move();
drop function if exists trade.tg_order_intents__notify();
drop function if exists trade.tg_orders__check_bounds();
drop function if exists trade.tg_orders__check_move();

-- These get other parameters, or are no longer needed.
drop function if exists api.claim_intents(bigint, integer);
drop function if exists trade.lock_claimable_intents(integer);
drop function if exists trade.escalate_stops(text[]);
drop function if exists trade.open_intent(
    bigint, bigint, text, text, text, numeric, numeric, text, text, interval, bigint, timestamptz
);
drop function if exists trade.require_tradable(trade.accounts, market.instruments, text);
drop function if exists trade.require_enough(market.instruments, numeric, numeric, numeric);
drop function if exists trade.known_intent(bigint, text, jsonb);
drop function if exists strategy.mark_routed(strategy.picks, trade.order_intents, text, jsonb);
drop function if exists paper.take_size(paper.orders, bigint, numeric);

-- The shape of intents and orders is checked by trade.intent_fault and trade.order_fault, once for a whole statement.
-- PostgreSQL reads the text of each check constraint again for each statement: these cost 40 us every time.
alter table trade.order_intents
drop constraint if exists order_intents_approved_together,
drop constraint if exists order_intents_filled_iff_whole,
drop constraint if exists order_intents_filled_within_quantity,
drop constraint if exists order_intents_limit_is_worst,
drop constraint if exists order_intents_overfill_not_negative,
drop constraint if exists order_intents_prices_positive,
drop constraint if exists order_intents_quantity_positive,
drop constraint if exists order_intents_reserves_one_side,
drop constraint if exists order_intents_reserves_the_rest,
drop constraint if exists order_intents_terminal_iff_closed,
drop constraint if exists order_intents_terminal_iff_released;

alter table trade.orders
drop constraint if exists orders_amend_has_price,
drop constraint if exists orders_client_order_id_short,
drop constraint if exists orders_closed_iff_terminal,
drop constraint if exists orders_filled_within_quantity,
drop constraint if exists orders_overfill_not_negative,
drop constraint if exists orders_pending_is_child,
drop constraint if exists orders_quantity_positive,
drop constraint if exists orders_sending_has_owner,
drop constraint if exists orders_side_known,
drop constraint if exists orders_stray_is_being_cancelled,
drop constraint if exists orders_type_known;

-- What a statement changes in the reservations of one position and its account.
create type trade.reservation as (
    account_id bigint,
    instrument_id bigint,
    owner text,
    quantity numeric,
    cash numeric
);

comment on type trade.reservation is
    'A change of what intents reserve of one position (quantity) and of the cash of its account.';

create type trade.intent_request as (
    account_id bigint,
    instrument_id bigint,
    owner text,
    intent_type text,
    side text,
    quantity numeric,
    limit_price numeric,
    reason text,
    idempotency_key text,
    ttl interval,
    pick_id bigint,
    quote_at timestamptz
);

comment on type trade.intent_request is
    'What somebody wants to trade: its columns mean what those of trade.order_intents mean.';

create type trade.judged_request as (
    nr integer,
    request trade.intent_request,
    asked jsonb,
    known_id bigint,
    mode text,
    verdict text,
    action text,
    quantity numeric,
    price numeric,
    rate numeric,
    free numeric,
    refusal text
);

comment on type trade.judged_request is
    'A request with what the database makes of it: the intent stored earlier under its key, the verdict of the mode, whole '
    'lots, the worst price, the rate of costs, what is free of its position or cash, and why it is refused (null: it is not).';

create type trade.intent_answer as (
    nr integer,
    intent_id bigint,
    code text,
    message text,
    hint text
);

comment on type trade.intent_answer is
    'The answer to a request, numbered as it was asked: an intent, or a refusal with its SQLSTATE, message and hint.';
