-- 360_fills: what happened at the broker.  A fill is never refused: it counts once (L7), and what it does to
-- order, intent, position, cash and exits is one transaction.

create or replace trigger _100_append_only
before update or delete on trade.fills
for each row execute function bus.tg_append_only();

create or replace trigger _110_no_truncate
before truncate on trade.fills
for each statement execute function bus.tg_append_only();

create or replace function trade.tg_fills__record()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform bus.record_event('fill', new.fill_id, new.side, new.intent_id, jsonb_build_object(
        'order_id', new.order_id, 'account_id', new.account_id, 'instrument_id', new.instrument_id,
        'owner', new.owner, 'quantity', new.quantity, 'price', new.price, 'fee', new.fee, 'tax', new.tax,
        'fee_qty', new.fee_qty, 'realized_pnl', new.realized_pnl, 'broker_fill_id', new.broker_fill_id, 'filled_at', new.filled_at
    ));
    return null;
end;
$$;

comment on function trade.tg_fills__record() is 'L9: each fill is one event.';

create or replace trigger _900_record
after insert on trade.fills
for each row execute function trade.tg_fills__record();

create or replace function trade.account_id(p_account text)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_account_id bigint;
begin
    select a.account_id into v_account_id from trade.accounts as a where a.account = p_account;

    if not found then
        raise exception 'account % does not exist', left(p_account, 100) using errcode = 'TRI02', hint = 'select account from accounts;';
    end if;

    return v_account_id;
end;
$$;

comment on function trade.account_id(text) is 'The id of an account. Raises TRI02.';

create or replace function trade.apply_to_order(
    p_order    trade.orders,
    p_quantity numeric
)
returns void
language sql
volatile
begin atomic
    update trade.orders as o
    set filled_qty = least(o.filled_qty + p_quantity, o.quantity),
        overfill_qty = o.overfill_qty + greatest(o.filled_qty + p_quantity - o.quantity, 0),
        status = case
            when o.closed_at is not null then o.status
            when o.filled_qty + p_quantity >= o.quantity then 'FILLED'
            else 'PARTIAL_FILLED'
        end,
        closed_at = case
            when o.closed_at is not null then o.closed_at
            when o.filled_qty + p_quantity >= o.quantity then bus.clock()
        end,
        closed_reason = case
            when o.closed_at is not null then o.closed_reason
            when o.filled_qty + p_quantity >= o.quantity then 'filled'
        end,
        answered_at = coalesce(o.answered_at, bus.clock())
    where o.order_id = p_order.order_id;
end;

comment on function trade.apply_to_order(trade.orders, numeric) is
    'Adds a fill to its order. A terminal order keeps its status; what exceeds its quantity is overfill.';

create or replace function trade.apply_to_intent(
    p_intent_id bigint,
    p_quantity  numeric
)
returns void
language sql
volatile
begin atomic
    update trade.order_intents as i
    set filled_qty = s.filled,
        overfill_qty = i.overfill_qty + i.filled_qty + p_quantity - s.filled,
        status = case
            when i.closed_at is not null then i.status
            when s.filled = i.quantity then 'FILLED'
            -- Its order was taken for never sent: the rest still waits to be sent.
            when i.status in ('NEW', 'PENDING_APPROVAL') then i.status
            else 'PARTIAL_FILLED'
        end,
        reserved_qty = case
            when i.closed_at is not null or i.side = 'BUY' then 0
            else i.quantity - s.filled
        end,
        reserved_cash = case
            when i.closed_at is not null or i.side = 'SELL' then 0
            else (i.quantity - s.filled) * i.worst_price * (1 + i.reserve_rate)
        end,
        closed_at = case
            when i.closed_at is not null then i.closed_at
            when s.filled = i.quantity then bus.clock()
        end,
        closed_reason = case
            when i.closed_at is not null then i.closed_reason
            when s.filled = i.quantity then 'filled'
        end
    from (
        select least(n.filled_qty + p_quantity, n.quantity) as filled
        from trade.order_intents as n
        where n.intent_id = p_intent_id
    ) as s
    where i.intent_id = p_intent_id;
end;

comment on function trade.apply_to_intent(bigint, numeric) is
    'Adds a fill to its intent and frees what it had reserved for it. A terminal intent keeps its status.';

create or replace function trade.cover_oversale(
    p_position trade.positions,
    p_quantity numeric,
    p_price    numeric
)
returns trade.positions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_missing numeric := p_quantity - p_position.qty;
begin
    if v_missing <= 0 then
        return p_position;
    end if;

    -- More was sold than we knew of: those shares existed at the broker, so they are adopted, at the price
    -- they were sold for, and a person is told.
    insert into trade.reconciliations (account_id, instrument_id, owner, quantity, price, reason)
    values (p_position.account_id, p_position.instrument_id, p_position.owner, v_missing, p_price, 'sold more than was known');

    perform trade.move_position(p_position, v_missing, v_missing * p_price, 0);
    perform api.raise_incident(
        'oversold',
        format('position %s/%s/%s', p_position.account_id, p_position.instrument_id, p_position.owner),
        jsonb_build_object('quantity', v_missing, 'price', p_price)
    );

    return trade.ensure_position(p_position.account_id, p_position.instrument_id, p_position.owner);
end;
$$;

comment on function trade.cover_oversale(trade.positions, numeric, numeric) is
    'Adopts, as a recorded reconciliation, what a sale took beyond the position we knew; returns the position now.';

create or replace function trade.find_order(
    p_account_id      bigint,
    p_client_order_id text,
    p_broker_order_id text
)
returns trade.orders
language sql
stable
begin atomic
    select o
    from trade.orders as o
    where o.account_id = p_account_id
      and (o.client_order_id = p_client_order_id
           or (p_client_order_id is null and o.broker_order_id = p_broker_order_id));
end;

comment on function trade.find_order(bigint, text, text) is
    'The order a broker speaks of: by our number, else by the broker''s.';

create or replace function trade.lock_for_fill(p_order_id bigint)
returns trade.orders
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order trade.orders;
    v_owner text;
begin
    select o.* into strict v_order from trade.orders as o where o.order_id = p_order_id;
    select i.owner into strict v_owner from trade.order_intents as i where i.intent_id = v_order.intent_id;

    -- Lock order: account, position, intent, order.
    perform from trade.balances as b where b.account_id = v_order.account_id for no key update;
    perform trade.ensure_position(v_order.account_id, v_order.instrument_id, v_owner);
    perform from trade.order_intents as i where i.intent_id = v_order.intent_id for no key update;
    return trade.lock_with_parent(v_order);
end;
$$;

comment on function trade.lock_for_fill(bigint) is
    'Locks all that a fill of an order touches, making a flat position where there is none; returns the order as it is now.';

create or replace function trade.take_fill(
    p_order          trade.orders,
    p_broker_fill_id text,
    p_quantity       numeric,
    p_price          numeric,
    p_fee            numeric,
    p_tax            numeric,
    p_fee_qty        numeric,
    p_filled_at      timestamptz,
    p_notional       numeric
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent    trade.order_intents;
    v_position  trade.positions;
    v_sign      integer := case p_order.side when 'BUY' then 1 else -1 end;
    v_change    numeric := v_sign * p_quantity - p_fee_qty;
    -- A time that cannot be is taken for none.
    v_told_at   timestamptz := case
        when p_filled_at between '1970-01-01' and bus.clock() + interval '1 day' then p_filled_at
    end;
    v_filled_at timestamptz := coalesce(v_told_at, bus.clock());
    v_date      date;
    v_realized  numeric;
    v_known     trade.fills;
    v_fill_id   bigint;
begin
    select (v_filled_at at time zone v.time_zone)::date
    into strict v_date
    from trade.accounts as a
    join market.venues as v on v.venue = a.venue
    where a.account_id = p_order.account_id;

    select f.* into v_known
    from trade.fills as f
    where (f.account_id, f.instrument_id, f.trade_date, f.broker_fill_id)
        = (p_order.account_id, p_order.instrument_id, v_date, p_broker_fill_id);

    -- Told without a time, now or before, it may stand under another day.
    if not found then
        select f.* into v_known
        from trade.fills as f
        where f.intent_id = p_order.intent_id
          and f.broker_fill_id = p_broker_fill_id
          and (v_told_at is null or not f.is_time_told)
        order by f.fill_id desc
        limit 1;
    end if;

    if found then
        return case
            when (v_known.intent_id, v_known.quantity) = (p_order.intent_id, p_quantity)
                then trade.restate_fill(v_known, p_notional, p_fee_qty, p_fee, p_tax)
            else 'UNMATCHED'
        end;
    end if;

    perform trade.take_over(p_order, null);

    -- The reservation is freed first, so that an ordinary fill never looks like a breach.
    perform trade.apply_to_order(p_order, p_quantity);
    perform trade.apply_to_intent(p_order.intent_id, p_quantity);
    perform trade.curb_orders(p_order.intent_id);
    select i.* into strict v_intent from trade.order_intents as i where i.intent_id = p_order.intent_id;

    select p.* into strict v_position
    from trade.positions as p
    where p.account_id = p_order.account_id and p.instrument_id = p_order.instrument_id and p.owner = v_intent.owner;

    if v_change < 0 then
        v_position := trade.cover_oversale(v_position, -v_change, p_price);
    end if;

    v_realized := trade.move_position(v_position, v_change, p_notional, coalesce(p_fee, 0) + coalesce(p_tax, 0));

    insert into trade.fills (
        order_id, intent_id, account_id, instrument_id, owner, side, trade_date, broker_fill_id, quantity, price, fee,
        tax, fee_qty, realized_pnl, filled_at, is_time_told
    ) values (
        p_order.order_id, p_order.intent_id, p_order.account_id, p_order.instrument_id, v_intent.owner, p_order.side,
        v_date, p_broker_fill_id, p_quantity, p_price, coalesce(p_fee, 0), coalesce(p_tax, 0), p_fee_qty, v_realized,
        v_filled_at, v_told_at is not null
    )
    returning fill_id into v_fill_id;

    insert into trade.cash_entries (account_id, kind, amount, fill_id)
    select p_order.account_id, e.kind, e.amount, v_fill_id
    from (values ('fill', -v_sign * p_notional), ('fee', -p_fee), ('tax', -p_tax)) as e (kind, amount)
    where e.amount <> 0;  -- nor where it was not told

    perform trade.arm_exits(p_order.account_id, p_order.instrument_id, v_intent.owner);
    perform trade.shed_unsent(p_order.account_id, p_order.instrument_id, v_intent.owner);
    return 'RECORDED';
end;
$$;

comment on function trade.take_fill(trade.orders, text, numeric, numeric, numeric, numeric, numeric, timestamptz, numeric) is
    'All that a fill of a locked order does: order, intent, position, cash, exits; p_notional is the money that changed hands. RECORDED; when it is known, RESTATED or DUPLICATE as restate_fill says, and UNMATCHED when it is known with another intent or quantity.';

create or replace function trade.keep_unmatched(
    p_account text,
    p_order   text,
    p_key     text,
    p_detail  jsonb
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- In an old snapshot its order may be missing: whoever brings it must look again.
    perform bus.require_the_latest('the order of a fill');
    perform api.raise_incident('unmatched_fill', concat_ws('/', p_account, left(p_order, 200), left(nullif(p_key, ''), 200)), p_detail);
    return 'UNMATCHED';
end;
$$;

comment on function trade.keep_unmatched(text, text, text, jsonb) is 'Keeps a fill that fits nothing we know as an incident; returns UNMATCHED.';

create or replace function api.record_fill(
    p_account         text,
    p_client_order_id text,
    p_broker_order_id text,
    p_broker_fill_id  text,
    p_quantity        numeric,
    p_price           numeric,
    p_fee             numeric,
    p_tax             numeric,
    p_filled_at       timestamptz,
    p_fee_qty         numeric default 0
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_answer text := 'UNMATCHED';
begin
    v_order := trade.find_order(trade.account_id(p_account), p_client_order_id, p_broker_order_id);

    if v_order.order_id is not null
        and p_quantity > 0 and p_price > 0 and p_fee_qty >= 0 and p_fee_qty < p_quantity
        and length(p_broker_fill_id) between 1 and 200
        and bus.is_amount(p_quantity) and bus.is_amount(p_price) and bus.is_amount(p_fee_qty)
        and bus.is_amount(coalesce(p_fee, 0)) and bus.is_amount(coalesce(p_tax, 0))
    then
        v_order := trade.lock_for_fill(v_order.order_id);
        v_answer := trade.take_fill(v_order, p_broker_fill_id, p_quantity, p_price, p_fee, p_tax, p_fee_qty,
            p_filled_at, p_quantity * p_price);
    end if;

    if v_answer = 'UNMATCHED' then
        return trade.keep_unmatched(p_account, coalesce(p_client_order_id, p_broker_order_id), p_broker_fill_id, jsonb_build_object(
            'client_order_id', p_client_order_id, 'broker_order_id', p_broker_order_id, 'broker_fill_id', p_broker_fill_id,
            'quantity', p_quantity, 'price', p_price, 'fee', p_fee, 'tax', p_tax, 'fee_qty', p_fee_qty, 'filled_at', p_filled_at
        ));
    end if;

    return v_answer;
end;
$$;

comment on function api.record_fill(text, text, text, text, numeric, numeric, numeric, numeric, timestamptz, numeric) is
    'Records an execution once: RECORDED, DUPLICATE, RESTATED (known, with another price or other costs than before: the difference is booked) or UNMATCHED (it fits no order, makes no sense, or is known with another intent or quantity: kept as an incident). Fee and tax in the account''s currency, null while the broker has not told them; p_filled_at null where it does not say when; p_fee_qty is a fee taken in the instrument. Never refuses a fact. Raises TRI02 for an unknown account, TRM02.';

create or replace function trade.take_total(
    p_order     trade.orders,
    p_quantity  numeric,
    p_notional  numeric,
    p_fee       numeric,
    p_tax       numeric,
    p_filled_at timestamptz
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_booked record;
    v_last   trade.fills;
    v_known  trade.fill_money;
begin
    select
        coalesce(sum(m.quantity), 0) as quantity,
        coalesce(sum(m.notional), 0) as notional,
        coalesce(sum(m.fee), 0) as fee,
        coalesce(sum(m.tax), 0) as tax,
        max(m.fill_id) as last_fill_id
    into v_booked
    from trade.fill_money as m
    where m.order_id = p_order.order_id;

    if p_quantity > v_booked.quantity and p_notional > v_booked.notional then
        return trade.take_fill(
            p_order,
            format('cum:%s:%s', p_order.order_id, trim_scale(p_quantity)),
            p_quantity - v_booked.quantity,
            (p_notional - v_booked.notional) / (p_quantity - v_booked.quantity),
            p_fee - v_booked.fee,
            p_tax - v_booked.tax,
            0,
            p_filled_at,
            p_notional - v_booked.notional
        );
    elsif p_quantity > v_booked.quantity then
        return 'UNMATCHED';  -- more was traded, for no more money
    elsif p_quantity < v_booked.quantity or v_booked.last_fill_id is null then
        return 'DUPLICATE';  -- older news
    end if;

    select f.* into strict v_last from trade.fills as f where f.fill_id = v_booked.last_fill_id;
    select m.* into strict v_known from trade.fill_money as m where m.fill_id = v_booked.last_fill_id;
    return trade.restate_fill(
        v_last,
        v_known.notional + nullif(p_notional, 0) - v_booked.notional,
        0,
        v_known.fee + p_fee - v_booked.fee,
        v_known.tax + p_tax - v_booked.tax
    );
end;
$$;

comment on function trade.take_total(trade.orders, numeric, numeric, numeric, numeric, timestamptz) is
    'What is new in the total of a locked order: a fill, or a restatement of its last fill. RECORDED, DUPLICATE, RESTATED or UNMATCHED.';

create or replace function api.record_cumulative(
    p_account         text,
    p_client_order_id text,
    p_broker_order_id text,
    p_quantity        numeric,
    p_notional        numeric,
    p_fee             numeric,
    p_tax             numeric,
    p_filled_at       timestamptz
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_order  trade.orders;
    v_answer text := 'UNMATCHED';
begin
    v_order := trade.find_order(trade.account_id(p_account), p_client_order_id, p_broker_order_id);

    if v_order.order_id is not null
        and p_quantity >= 0 and p_notional >= 0
        and bus.is_amount(p_quantity) and bus.is_amount(p_notional)
        and bus.is_amount(coalesce(p_fee, 0)) and bus.is_amount(coalesce(p_tax, 0))
    then
        -- What is new is decided under the order's lock: stream and poll may bring the same news at once.
        v_order := trade.lock_for_fill(v_order.order_id);
        v_answer := trade.take_total(v_order, p_quantity, p_notional, p_fee, p_tax, p_filled_at);
    end if;

    if v_answer = 'UNMATCHED' then
        return trade.keep_unmatched(p_account, coalesce(p_client_order_id, p_broker_order_id), left(p_quantity::text, 100), jsonb_build_object(
            'client_order_id', p_client_order_id, 'broker_order_id', p_broker_order_id, 'cumulative_quantity', p_quantity,
            'notional', p_notional, 'fee', p_fee, 'tax', p_tax, 'filled_at', p_filled_at
        ));
    end if;

    return v_answer;
end;
$$;

comment on function api.record_cumulative(text, text, text, numeric, numeric, numeric, numeric, timestamptz) is
    'For brokers without execution ids: takes an order''s total quantity, notional, fee and tax so far and records what is new as one fill, with an id that is the same whoever brings it; fee and tax are null, and the notional of a known quantity 0, while the broker has not told them. RECORDED, DUPLICATE (also older news: a smaller total), RESTATED (the same quantity with other money) or UNMATCHED (kept as an incident; also more units for no more money). Raises TRI02, TRM02.';

create or replace function api.advance_fills_cursor(
    p_account text,
    p_cursor  text
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    -- A cursor is of our adapter's making: one that is null or huge is none.
    update trade.accounts as a set fills_cursor = p_cursor where a.account = p_account and bus.is_text(p_cursor, 4000);
end;

comment on function api.advance_fills_cursor(text, text) is
    'Remembers how far fills were read, after they were recorded. Reading some again is harmless.';
