-- 0008_paper: the books of the paper broker.  Nothing outside sql/ that belongs to it reads these: to the
-- rest of the house it is a broker across a wire.

create table paper.orders (
    paper_order_id  bigint      generated always as identity,
    client_order_id text        not null,
    account         text        not null,
    instrument_id   bigint      not null,
    side            text        not null,
    order_type      text        not null,
    quantity        numeric     not null,
    limit_price     numeric     not null,
    filled_qty      numeric     not null default 0,
    status          text        not null default 'OPEN',
    message         text        not null default '',
    accepted_at     timestamptz not null default bus.clock(),

    constraint orders_pkey primary key (paper_order_id),
    constraint orders_client_order_id_key unique (client_order_id),
    constraint orders_instrument_fkey foreign key (instrument_id) references market.instruments,
    constraint orders_status_known check (status in ('OPEN', 'FILLED', 'CANCELLED', 'REJECTED')),
    constraint orders_filled_within_quantity check (filled_qty between 0 and quantity)
) with (fillfactor = 70);

create index orders_open on paper.orders (instrument_id, paper_order_id) where status = 'OPEN';

comment on table paper.orders is 'Orders the paper broker has heard of.';
comment on column paper.orders.paper_order_id is 'The broker''s order number.';
comment on column paper.orders.client_order_id is 'The sender''s number: heard once, a second time is answered with the first.';
comment on column paper.orders.account is 'The account it trades for.';
comment on column paper.orders.instrument_id is 'The instrument.';
comment on column paper.orders.side is 'BUY or SELL.';
comment on column paper.orders.order_type is 'LIMIT or MARKET.';
comment on column paper.orders.quantity is 'Quantity ordered.';
comment on column paper.orders.limit_price is 'Limit.';
comment on column paper.orders.filled_qty is 'Quantity filled.';
comment on column paper.orders.status is 'OPEN, FILLED, CANCELLED or REJECTED.';
comment on column paper.orders.message is 'Why it was rejected.';
comment on column paper.orders.accepted_at is 'When it arrived.';

create table paper.taken (
    instrument_id bigint  not null,
    side          text    not null,
    received_seq  bigint  not null,
    quantity      numeric not null,

    constraint taken_pkey primary key (instrument_id, side),
    constraint taken_instrument_fkey foreign key (instrument_id) references market.instruments,
    constraint taken_quantity_positive check (quantity > 0)
);

comment on table paper.taken is 'What our orders have taken of the size a quote shows: it is offered once, to all of them together.';
comment on column paper.taken.instrument_id is 'The instrument.';
comment on column paper.taken.side is 'BUY where asks were taken, SELL where bids were.';
comment on column paper.taken.received_seq is 'The quote; another one offers its size anew.';
comment on column paper.taken.quantity is 'Quantity taken of it.';

create table paper.fills (
    paper_fill_id  bigint      generated always as identity,
    paper_order_id bigint      not null,
    account        text        not null,
    quantity       numeric     not null,
    price          numeric     not null,
    fee            numeric     not null,
    tax            numeric     not null,
    filled_at      timestamptz not null default bus.clock(),

    constraint fills_pkey primary key (paper_fill_id),
    constraint fills_order_fkey foreign key (paper_order_id) references paper.orders,
    constraint fills_quantity_positive check (quantity > 0 and price > 0)
);

create index fills_by_account on paper.fills (account, paper_fill_id);

comment on table paper.fills is 'Executions of the paper broker.';
comment on column paper.fills.paper_fill_id is 'The broker''s fill number.';
comment on column paper.fills.paper_order_id is 'The order.';
comment on column paper.fills.account is 'The account.';
comment on column paper.fills.quantity is 'Quantity.';
comment on column paper.fills.price is 'Price.';
comment on column paper.fills.fee is 'Commission.';
comment on column paper.fills.tax is 'Tax.';
comment on column paper.fills.filled_at is 'When.';
