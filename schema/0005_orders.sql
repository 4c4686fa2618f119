-- 0005_orders: intents, the orders that carry them out, and the fills that come back.  The lifecycles are
-- data: an operator can read them, and a reviewer sees a change to one as one row.

create table trade.intent_types (
    intent_type text not null,
    side        text not null,
    action      text not null,

    constraint intent_types_pkey primary key (intent_type, side),
    constraint intent_types_side_known check (side in ('BUY', 'SELL')),
    constraint intent_types_action_known check (
        action in ('NEW_BUY', 'ADD', 'PROTECTIVE_SELL', 'OTHER_SELL')
    )
);

comment on table trade.intent_types is 'What kinds of intent there are and which row of risk.mode_rules decides on each.';
comment on column trade.intent_types.intent_type is 'Kind of intent.';
comment on column trade.intent_types.side is 'BUY or SELL.';
comment on column trade.intent_types.action is 'The action the mode allows or denies.';

create table trade.intent_transitions (
    from_status text not null,
    to_status   text not null,

    constraint intent_transitions_pkey primary key (from_status, to_status)
);

comment on table trade.intent_transitions is 'The moves an intent may make; everything else is refused.';
comment on column trade.intent_transitions.from_status is 'Status before; BEGIN for a new row.';
comment on column trade.intent_transitions.to_status is 'Status after.';

create table trade.order_transitions (
    from_status text not null,
    to_status   text not null,

    constraint order_transitions_pkey primary key (from_status, to_status)
);

comment on table trade.order_transitions is 'The moves an order may make; everything else is refused.';
comment on column trade.order_transitions.from_status is 'Status before; BEGIN for a new row.';
comment on column trade.order_transitions.to_status is 'Status after.';

create table trade.order_intents (
    intent_id       bigint      generated always as identity,
    account_id      bigint      not null,
    instrument_id   bigint      not null,
    owner           text        not null,
    intent_type     text        not null,
    side            text        not null,
    reason          text        not null,
    quantity        numeric     not null,
    limit_price     numeric,
    worst_price     numeric     not null,
    reserve_rate    numeric     not null default 0,
    status          text        not null default 'NEW',
    reserved_qty    numeric     not null,
    reserved_cash   numeric     not null,
    filled_qty      numeric     not null default 0,
    overfill_qty    numeric     not null default 0,
    attempts        integer     not null default 0,
    idempotency_key text        not null,
    request         jsonb       not null,
    pick_id         bigint,
    quote_at        timestamptz,
    created_by      text        not null default session_user,
    created_at      timestamptz not null default bus.clock(),
    not_before      timestamptz,
    expires_at      timestamptz not null,
    claimed_at      timestamptz,
    approved_by     text,
    approved_at     timestamptz,
    closed_at       timestamptz,
    closed_reason   text,
    escalated_at    timestamptz,
    correlation_id  text        not null generated always as (
        coalesce('pick:' || pick_id::text, 'intent:' || intent_id::text)
    ) stored,

    constraint order_intents_pkey primary key (intent_id),
    constraint order_intents_idempotency_key unique (account_id, idempotency_key),
    constraint order_intents_account_fkey foreign key (account_id) references trade.accounts,
    constraint order_intents_instrument_fkey foreign key (instrument_id) references market.instruments,
    constraint order_intents_type_fkey foreign key (intent_type, side) references trade.intent_types,
    constraint order_intents_quantity_positive check (quantity > 0),
    constraint order_intents_prices_positive check (worst_price > 0 and limit_price > 0),
    constraint order_intents_limit_is_worst check (limit_price is null or limit_price = worst_price),
    constraint order_intents_filled_within_quantity check (filled_qty between 0 and quantity),
    constraint order_intents_overfill_not_negative check (overfill_qty >= 0),
    constraint order_intents_terminal_iff_released check (
        (status in ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED')) = (reserved_qty = 0 and reserved_cash = 0)
    ),
    constraint order_intents_terminal_iff_closed check (
        (status in ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED')) = (closed_at is not null)
    ),
    constraint order_intents_reserves_one_side check (
        case side when 'BUY' then reserved_qty = 0 and reserved_cash >= 0
                  else reserved_cash = 0 and reserved_qty >= 0 end
    ),
    -- What is reserved is exactly what is still to be done, at the worst price.
    constraint order_intents_reserves_the_rest check (
        closed_at is not null
        or case side when 'BUY' then reserved_cash = (quantity - filled_qty) * worst_price * (1 + reserve_rate)
                     else reserved_qty = quantity - filled_qty end
    ),
    constraint order_intents_filled_iff_whole check (status <> 'FILLED' or filled_qty = quantity),
    constraint order_intents_approved_together check ((approved_by is null) = (approved_at is null))
) with (fillfactor = 70);

-- Sells come first: 'SELL' is greater than 'BUY'.
create index order_intents_waiting on trade.order_intents (side desc, intent_id) where status = 'NEW';
create index order_intents_live on trade.order_intents (account_id, instrument_id, owner) where closed_at is null;
create index order_intents_live_expiry on trade.order_intents (expires_at) where closed_at is null;
create index order_intents_entries on trade.order_intents (account_id, created_at)
    where side = 'BUY' and filled_qty > 0;
create index order_intents_by_pick on trade.order_intents (pick_id) where pick_id is not null;

comment on table trade.order_intents is 'A decision to buy or sell that was admitted: what it may spend or sell is reserved.';
comment on column trade.order_intents.intent_id is 'Our number for it.';
comment on column trade.order_intents.account_id is 'The account.';
comment on column trade.order_intents.instrument_id is 'The instrument.';
comment on column trade.order_intents.owner is 'The strategy it belongs to, or manual.';
comment on column trade.order_intents.intent_type is 'ENTRY, ADD, PYRAMID, REENTRY, EXIT, FLATTEN or MANUAL.';
comment on column trade.order_intents.side is 'BUY or SELL.';
comment on column trade.order_intents.reason is 'Why, such as STOP_LOSS.';
comment on column trade.order_intents.quantity is 'Quantity wanted, in whole lots.';
comment on column trade.order_intents.limit_price is 'The caller''s limit; null when it takes up to worst_price.';
comment on column trade.order_intents.worst_price is 'The worst price it may trade at; a buy reserves cash at it.';
comment on column trade.order_intents.reserve_rate is 'Fees and taxes reserved on top, as a fraction.';
comment on column trade.order_intents.status is 'Moves only along trade.intent_transitions.';
comment on column trade.order_intents.reserved_qty is 'Quantity of the position it has reserved; 0 for a buy.';
comment on column trade.order_intents.reserved_cash is 'Cash it has reserved; 0 for a sell.';
comment on column trade.order_intents.filled_qty is 'Quantity filled, at most quantity.';
comment on column trade.order_intents.overfill_qty is 'Quantity the broker filled beyond what we asked.';
comment on column trade.order_intents.attempts is 'How many orders were made for it.';
comment on column trade.order_intents.idempotency_key is 'Chosen by the caller: the same key again returns this intent.';
comment on column trade.order_intents.request is 'What the caller asked; the same key with another request is refused.';
comment on column trade.order_intents.pick_id is 'The pick it came from; null for exits and intents by hand.';
comment on column trade.order_intents.quote_at is 'When the database took the quote that caused it; null where none did.';
comment on column trade.order_intents.created_by is 'The login that made it.';
comment on column trade.order_intents.created_at is 'When it was admitted.';
comment on column trade.order_intents.not_before is 'Not claimed before this instant; null when there is nothing to wait for.';
comment on column trade.order_intents.expires_at is 'After this instant it is ended.';
comment on column trade.order_intents.claimed_at is 'When a worker last took it; null while nobody has.';
comment on column trade.order_intents.approved_by is 'The login that approved it; null where nobody did.';
comment on column trade.order_intents.approved_at is 'When it was approved; null where nobody did.';
comment on column trade.order_intents.closed_at is 'When it ended; null while it lives.';
comment on column trade.order_intents.closed_reason is 'Why it ended; null while it lives.';
comment on column trade.order_intents.escalated_at is 'When a stop turned a resting sell into one that must get out; null where none did.';
comment on column trade.order_intents.correlation_id is 'Where its story began: the pick, else the intent itself.';

create table trade.orders (
    order_id            bigint      generated always as identity,
    intent_id           bigint      not null,
    parent_order_id     bigint,
    account_id          bigint      not null,
    instrument_id       bigint      not null,
    side                text        not null,
    client_order_id     text        not null,
    broker_order_id     text,
    status              text        not null,
    order_type          text        not null default 'LIMIT',
    quantity            numeric     not null,
    limit_price         numeric     not null,
    filled_qty          numeric     not null default 0,
    overfill_qty        numeric     not null default 0,
    claimed_by          bigint,
    fence               bigint      not null default 1,
    send_before         timestamptz not null,
    created_at          timestamptz not null default bus.clock(),
    answered_at         timestamptz,
    cancel_requested_at timestamptz,
    next_ask_at         timestamptz,
    amend_at            timestamptz,
    amend_price         numeric,
    is_pending          boolean     not null default false,
    not_found_count     integer     not null default 0,
    closed_at           timestamptz,
    closed_reason       text,

    constraint orders_pkey primary key (order_id),
    constraint orders_client_order_id_key unique (client_order_id),
    constraint orders_intent_fkey foreign key (intent_id) references trade.order_intents,
    constraint orders_parent_fkey foreign key (parent_order_id) references trade.orders,
    constraint orders_claimed_by_fkey foreign key (claimed_by) references bus.workers,
    constraint orders_side_known check (side in ('BUY', 'SELL')),
    constraint orders_type_known check (order_type in ('LIMIT', 'MARKET')),
    constraint orders_quantity_positive check (quantity > 0 and limit_price > 0),
    constraint orders_filled_within_quantity check (filled_qty between 0 and quantity),
    constraint orders_overfill_not_negative check (overfill_qty >= 0),
    constraint orders_client_order_id_short check (length(client_order_id) between 1 and 36),
    constraint orders_closed_iff_terminal check (
        (closed_at is not null) = (status in ('FILLED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'REPLACED'))
    ),
    constraint orders_sending_has_owner check (status <> 'SENDING' or claimed_by is not null),
    constraint orders_amend_has_price check ((amend_at is null) = (amend_price is null)),
    constraint orders_pending_is_child check (not is_pending or parent_order_id is not null)
) with (fillfactor = 70);

-- At most one live order per intent, besides one child of an amend that is not live yet.
create unique index orders_one_live_per_intent on trade.orders (intent_id)
    where closed_at is null and not is_pending;
create unique index orders_one_pending_child on trade.orders (intent_id)
    where closed_at is null and is_pending;
create unique index orders_broker_order_id_key on trade.orders (account_id, broker_order_id)
    where broker_order_id is not null;
create index orders_unanswered on trade.orders (send_before) where status in ('SENDING', 'IN_DOUBT');
create index orders_open on trade.orders (account_id) where closed_at is null;
create index orders_unsettled on trade.orders (account_id, instrument_id, side)
    where status in ('SENDING', 'IN_DOUBT');
create index orders_cancel_asked on trade.orders (order_id)
    where cancel_requested_at is not null and closed_at is null;
create index orders_amend_due on trade.orders (amend_at)
    where amend_at is not null and closed_at is null;
create index orders_by_intent on trade.orders (intent_id);

comment on table trade.orders is 'One row per order, stored before a broker hears of it.';
comment on column trade.orders.order_id is 'Our number for it.';
comment on column trade.orders.intent_id is 'The intent it carries out.';
comment on column trade.orders.parent_order_id is 'The order an amend replaces; null where it is no amend.';
comment on column trade.orders.account_id is 'The account, copied from the intent.';
comment on column trade.orders.instrument_id is 'The instrument, copied from the intent.';
comment on column trade.orders.side is 'BUY or SELL, copied from the intent.';
comment on column trade.orders.client_order_id is 'Instance epoch, intent and attempt: the broker hears each one once.';
comment on column trade.orders.broker_order_id is
    'The broker''s number; null until it answered. Where a broker uses numbers again the next day, its adapter puts the date in front.';
comment on column trade.orders.status is 'Moves only along trade.order_transitions.';
comment on column trade.orders.order_type is 'LIMIT or MARKET.';
comment on column trade.orders.quantity is 'Quantity sent.';
comment on column trade.orders.limit_price is 'Limit sent; for a market order the price cash was reserved at.';
comment on column trade.orders.filled_qty is 'Quantity filled, at most quantity.';
comment on column trade.orders.overfill_qty is 'Quantity filled beyond quantity.';
comment on column trade.orders.claimed_by is 'The worker that may answer for it; null for a child that waits.';
comment on column trade.orders.fence is 'Raised when another worker takes it over; an answer with an older fence is refused.';
comment on column trade.orders.send_before is 'It leaves before this instant or not at all.';
comment on column trade.orders.created_at is 'When it was claimed.';
comment on column trade.orders.answered_at is 'When the broker''s first answer was recorded; null until then.';
comment on column trade.orders.cancel_requested_at is 'When somebody asked to cancel it; null when nobody did.';
comment on column trade.orders.next_ask_at is 'When the broker may be asked (again) to cancel it or about it; null when there is no need.';
comment on column trade.orders.amend_at is 'When its rest is to be replaced by another order; null when it is not.';
comment on column trade.orders.amend_price is 'Limit of the order that replaces it; null when none does.';
comment on column trade.orders.is_pending is 'True for the child of an amend until the broker has put it in its parent''s place.';
comment on column trade.orders.not_found_count is 'Clean "not found" answers so far.';
comment on column trade.orders.closed_at is 'When it ended; null while it lives.';
comment on column trade.orders.closed_reason is 'Why it ended; null while it lives.';

create table trade.fills (
    fill_id        bigint      generated always as identity,
    order_id       bigint      not null,
    intent_id      bigint      not null,
    account_id     bigint      not null,
    instrument_id  bigint      not null,
    owner          text        not null,
    side           text        not null,
    trade_date     date        not null,
    broker_fill_id text        not null,
    quantity       numeric     not null,
    price          numeric     not null,
    fee            numeric     not null,
    tax            numeric     not null,
    fee_qty        numeric     not null default 0,
    realized_pnl   numeric     not null,
    filled_at      timestamptz not null,
    recorded_at    timestamptz not null default bus.clock(),

    constraint fills_pkey primary key (fill_id),
    constraint fills_broker_fill_key unique (account_id, instrument_id, trade_date, broker_fill_id),
    constraint fills_order_fkey foreign key (order_id) references trade.orders,
    constraint fills_intent_fkey foreign key (intent_id) references trade.order_intents,
    constraint fills_position_fkey foreign key (account_id, instrument_id, owner) references trade.positions,
    constraint fills_side_known check (side in ('BUY', 'SELL')),
    constraint fills_quantity_positive check (quantity > 0 and price > 0),
    constraint fills_fee_qty_within_quantity check (fee_qty >= 0 and fee_qty < quantity)
);

create index fills_by_intent on trade.fills (intent_id);
create index fills_by_order on trade.fills (order_id);

comment on table trade.fills is 'What happened at the broker: executions, each counted once. Append-only.';
comment on column trade.fills.fill_id is 'Our number for it.';
comment on column trade.fills.order_id is 'The order that was filled.';
comment on column trade.fills.intent_id is 'The intent of the order.';
comment on column trade.fills.account_id is 'The account.';
comment on column trade.fills.instrument_id is 'The instrument.';
comment on column trade.fills.owner is 'Whose position it changed.';
comment on column trade.fills.side is 'BUY or SELL.';
comment on column trade.fills.trade_date is 'Day of the fill in the venue''s zone.';
comment on column trade.fills.broker_fill_id is 'The broker''s own number: unique for account, instrument and day.';
comment on column trade.fills.quantity is 'Quantity filled.';
comment on column trade.fills.price is 'Price per unit.';
comment on column trade.fills.fee is 'Commission; negative for a rebate.';
comment on column trade.fills.tax is 'Tax.';
comment on column trade.fills.fee_qty is 'Commission taken in the instrument itself: a buy brings that much less, a sell costs that much more.';
comment on column trade.fills.realized_pnl is 'What it added to the position''s realized_pnl.';
comment on column trade.fills.filled_at is 'The broker''s time of the fill.';
comment on column trade.fills.recorded_at is 'When we wrote it down.';

create table trade.busts (
    fill_id           bigint      not null,
    reconciliation_id bigint      not null,
    reason            text        not null,
    created_at        timestamptz not null default bus.clock(),

    constraint busts_pkey primary key (fill_id),
    constraint busts_fill_fkey foreign key (fill_id) references trade.fills,
    constraint busts_reconciliation_fkey foreign key (reconciliation_id) references trade.reconciliations
);

comment on table trade.busts is 'Executions a venue took back: what they did was undone by new rows. Append-only.';
comment on column trade.busts.fill_id is 'The fill that was taken back.';
comment on column trade.busts.reconciliation_id is 'The row that undid it in the position.';
comment on column trade.busts.reason is 'What the venue said.';
comment on column trade.busts.created_at is 'When we heard of it.';

create table trade.cash_entries (
    cash_entry_id bigint      generated always as identity,
    account_id    bigint      not null,
    kind          text        not null,
    amount        numeric     not null,
    fill_id       bigint,
    note          text        not null default '',
    created_by    text        not null default session_user,
    created_at    timestamptz not null default bus.clock(),

    constraint cash_entries_pkey primary key (cash_entry_id),
    constraint cash_entries_account_fkey foreign key (account_id) references trade.accounts,
    constraint cash_entries_fill_fkey foreign key (fill_id) references trade.fills,
    constraint cash_entries_kind_known check (
        kind in ('fill', 'fee', 'tax', 'deposit', 'withdrawal', 'dividend', 'correction')
    ),
    constraint cash_entries_fill_iff_traded check ((fill_id is not null) = (kind in ('fill', 'fee', 'tax'))),
    constraint cash_entries_sign_fits check (
        case kind when 'deposit' then amount > 0 when 'withdrawal' then amount < 0 else amount <> 0 end
    )
);

create index cash_entries_by_account on trade.cash_entries (account_id, cash_entry_id);
create index cash_entries_by_fill on trade.cash_entries (fill_id) where fill_id is not null;
create index cash_entries_flows on trade.cash_entries (account_id, created_at) where kind in ('deposit', 'withdrawal');

comment on table trade.cash_entries is 'Every movement of cash; their sum is the balance. Append-only.';
comment on column trade.cash_entries.cash_entry_id is 'Order of writing.';
comment on column trade.cash_entries.account_id is 'The account.';
comment on column trade.cash_entries.kind is 'fill, fee, tax, deposit, withdrawal, dividend or correction.';
comment on column trade.cash_entries.amount is 'Added to the balance, in the account''s currency; negative when paid.';
comment on column trade.cash_entries.fill_id is 'The fill it belongs to; null for what no fill caused.';
comment on column trade.cash_entries.note is 'What a person should know about it.';
comment on column trade.cash_entries.created_by is 'The login that wrote it.';
comment on column trade.cash_entries.created_at is 'When it was written.';

insert into trade.intent_types (intent_type, side, action) values
('ENTRY', 'BUY', 'NEW_BUY'),
('REENTRY', 'BUY', 'NEW_BUY'),
('ADD', 'BUY', 'ADD'),
('PYRAMID', 'BUY', 'ADD'),
('MANUAL', 'BUY', 'NEW_BUY'),
('EXIT', 'SELL', 'PROTECTIVE_SELL'),
('FLATTEN', 'SELL', 'PROTECTIVE_SELL'),
('MANUAL', 'SELL', 'OTHER_SELL');

insert into trade.intent_transitions (from_status, to_status) values
('BEGIN', 'NEW'),
('BEGIN', 'PENDING_APPROVAL'),
('PENDING_APPROVAL', 'NEW'),
('PENDING_APPROVAL', 'REJECTED'),
('PENDING_APPROVAL', 'CANCELLED'),
('PENDING_APPROVAL', 'EXPIRED'),
('PENDING_APPROVAL', 'FILLED'),
('NEW', 'PENDING_APPROVAL'),
('NEW', 'CLAIMED'),
('NEW', 'CANCELLED'),
('NEW', 'EXPIRED'),
('NEW', 'FILLED'),
('CLAIMED', 'NEW'),
('CLAIMED', 'SUBMITTED'),
('CLAIMED', 'PARTIAL_FILLED'),
('CLAIMED', 'FILLED'),
('CLAIMED', 'CANCELLED'),
('CLAIMED', 'REJECTED'),
('CLAIMED', 'EXPIRED'),
('SUBMITTED', 'PARTIAL_FILLED'),
('SUBMITTED', 'FILLED'),
('SUBMITTED', 'CANCELLED'),
('SUBMITTED', 'REJECTED'),
('SUBMITTED', 'EXPIRED'),
('PARTIAL_FILLED', 'FILLED'),
('PARTIAL_FILLED', 'CANCELLED'),
('PARTIAL_FILLED', 'EXPIRED');

insert into trade.order_transitions (from_status, to_status) values
('BEGIN', 'SENDING'),
('SENDING', 'IN_DOUBT'),
('SENDING', 'SUBMITTED'),
('SENDING', 'PARTIAL_FILLED'),
('SENDING', 'FILLED'),
('SENDING', 'CANCELLED'),
('SENDING', 'REJECTED'),
('IN_DOUBT', 'SUBMITTED'),
('IN_DOUBT', 'PARTIAL_FILLED'),
('IN_DOUBT', 'FILLED'),
('IN_DOUBT', 'CANCELLED'),
('IN_DOUBT', 'REJECTED'),
('IN_DOUBT', 'EXPIRED'),
('SUBMITTED', 'PARTIAL_FILLED'),
('SUBMITTED', 'FILLED'),
('SUBMITTED', 'CANCELLED'),
('SUBMITTED', 'REJECTED'),
('SUBMITTED', 'EXPIRED'),
('SUBMITTED', 'REPLACED'),
('SUBMITTED', 'IN_DOUBT'),
('PARTIAL_FILLED', 'FILLED'),
('PARTIAL_FILLED', 'CANCELLED'),
('PARTIAL_FILLED', 'EXPIRED'),
('PARTIAL_FILLED', 'REPLACED'),
('PARTIAL_FILLED', 'IN_DOUBT');
