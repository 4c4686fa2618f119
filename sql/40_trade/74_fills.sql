-- 74_fills: records fills.  A fill is never refused and counts once (L7); its effects on order, intent, position, cash
-- and exits happen in one transaction.

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
declare
    v_origin record := bus.event_origin();
begin
    insert into bus.events (generation, cause, entity, entity_id, change, intent_id, correlation_id, data)
    select
        v_origin.generation, v_origin.cause, 'fill', n.fill_id, n.side, n.intent_id,
        (select i.correlation_id from trade.order_intents as i where i.intent_id = n.intent_id),
        jsonb_build_object(
            'order_id', n.order_id, 'account_id', n.account_id, 'instrument_id', n.instrument_id, 'owner', n.owner,
            'quantity', n.quantity, 'price', n.price, 'fee', n.fee, 'tax', n.tax, 'fee_qty', n.fee_qty,
            'realized_pnl', n.realized_pnl, 'broker_fill_id', n.broker_fill_id, 'filled_at', n.filled_at
        )
    from new_rows as n
    order by n.fill_id;

    return null;
end;
$$;

comment on function trade.tg_fills__record is 'L9: each fill is one event.';

create or replace trigger _900_record
after insert on trade.fills
referencing new table as new_rows
for each statement execute function trade.tg_fills__record();

create or replace function trade.plausible_time(p_at timestamptz)
returns timestamptz
language sql
volatile
begin atomic
    select case when p_at between '1970-01-01' and bus.clock() + interval '1 day' then p_at end;
end;

comment on function trade.plausible_time is 'The time of a fill as reported; null when it is impossible.';

create or replace function trade.trade_date(
    p_account_id bigint,
    p_at         timestamptz
)
returns date
language sql
stable
begin atomic
    select (p_at at time zone v.time_zone)::date
    from trade.accounts as a
    join market.venues as v on v.venue = a.venue
    where a.account_id = p_account_id;
end;

comment on function trade.trade_date is 'The date of a fill, in the time zone of the account''s venue.';

create or replace function trade.apply_fill(
    p_order          trade.orders,
    p_broker_fill_id text,
    p_quantity       numeric,
    p_price          numeric,
    p_fee            numeric,
    p_tax            numeric,
    p_fee_qty        numeric,
    p_filled_at      timestamptz,
    p_notional       numeric,
    p_corrected_qty  numeric default null
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_intent      trade.order_intents;
    v_position    trade.positions;
    v_sign        integer := case p_order.side when 'BUY' then 1 else -1 end;
    v_change      numeric := v_sign * p_quantity - p_fee_qty;
    v_reported_at timestamptz := trade.plausible_time(p_filled_at);
    v_filled_at   timestamptz := coalesce(v_reported_at, bus.clock());
    v_date        date := trade.trade_date(p_order.account_id, v_filled_at);
    v_realized    numeric;
    v_known       trade.fills;
    v_corrected   numeric := coalesce(p_corrected_qty, 0);
    v_revision    integer := 0;
    v_fill_id     bigint;
    v_answer      text;
begin
    v_known := trade.known_fill(p_order, p_broker_fill_id, v_date, v_reported_at is not null);

    if v_known.fill_id is not null then
        v_answer := trade.answer_to_known_fill(
            v_known, p_order.intent_id, p_quantity, p_notional, p_fee, p_tax, p_fee_qty
        );
        if v_answer is not null then
            return v_answer;
        end if;

        -- It corrects a busted fill: do not count again what that one had used up of the order.
        v_corrected := coalesce(p_corrected_qty, trade.corrected_quantity(v_known, p_quantity));
        v_revision := trade.next_revision(v_known, v_date);
    end if;

    -- Free the reservation first, so that an ordinary fill never looks like a breach.
    v_intent := trade.use_up_order(p_order, p_quantity - v_corrected);

    v_position := trade.position_of(p_order.account_id, p_order.instrument_id, v_intent.owner);

    if v_change < 0 then
        v_position := trade.book_oversold_quantity(v_position, -v_change, p_price);
    end if;

    v_realized := trade.move_position(v_position, v_change, p_notional, coalesce(p_fee, 0) + coalesce(p_tax, 0));

    insert into trade.fills (
        order_id, intent_id, account_id, instrument_id, owner, side, trade_date, broker_fill_id, quantity, price, fee,
        tax, fee_qty, realized_pnl, filled_at, is_time_told, revision, corrected_qty
    ) values (
        p_order.order_id, p_order.intent_id, p_order.account_id, p_order.instrument_id, v_intent.owner, p_order.side,
        v_date, p_broker_fill_id, p_quantity, p_price, coalesce(p_fee, 0), coalesce(p_tax, 0), p_fee_qty, v_realized,
        v_filled_at, v_reported_at is not null, v_revision, v_corrected
    )
    returning fill_id into v_fill_id;

    insert into trade.cash_entries (account_id, kind, amount, fill_id)
    select p_order.account_id, e.kind, e.amount, v_fill_id
    from (values ('fill', -v_sign * p_notional), ('fee', -p_fee), ('tax', -p_tax)) as e (kind, amount)
    where e.amount <> 0;  -- also skips null: not reported

    perform trade.arm_exits(p_order.account_id, p_order.instrument_id, v_intent.owner);
    perform trade.release_unsent_intents(p_order.account_id, p_order.instrument_id, v_intent.owner);
    return 'RECORDED';
end;
$$;

comment on function trade.apply_fill is
    'Applies a fill of a locked order to order, intent, position, cash and exits. p_notional is the money paid or '
    'received. p_corrected_qty is how much of the fill the order had already counted before a bust; null takes it from '
    'earlier reports with the same fill id. Returns RECORDED; for a known fill RESTATED or DUPLICATE (see '
    'correct_fill), or UNMATCHED when it is known with another intent or quantity.';

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
        v_answer := trade.apply_fill(v_order, p_broker_fill_id, p_quantity, p_price, p_fee, p_tax, p_fee_qty,
            p_filled_at, p_quantity * p_price);
    end if;

    if v_answer = 'UNMATCHED' then
        return trade.keep_unmatched(
            p_account, coalesce(p_client_order_id, p_broker_order_id), p_broker_fill_id,
            jsonb_build_object(
                'client_order_id', p_client_order_id, 'broker_order_id', p_broker_order_id,
                'broker_fill_id', p_broker_fill_id, 'quantity', p_quantity, 'price', p_price, 'fee', p_fee,
                'tax', p_tax, 'fee_qty', p_fee_qty, 'filled_at', p_filled_at
            )
        );
    end if;

    return v_answer;
end;
$$;

comment on function api.record_fill is
    'Records a fill once: RECORDED, DUPLICATE, RESTATED (known, but with another price or other costs: the difference '
    'is booked) or UNMATCHED (matches no order, has impossible values, or is known with another intent or quantity: '
    'kept as an incident). Fee and tax are in the account''s currency, null while the broker has not reported them; '
    'p_filled_at is null when it reports no time; p_fee_qty is a fee taken in the instrument. A fill is never refused. '
    'Raises TRI02 for an unknown account, TRM02.';

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
    -- Our adapter makes the cursor: ignore a null one and one over 4,000 bytes.
    update trade.accounts as a
    set fills_cursor = p_cursor,
        fills_read_at = bus.clock()
    where a.account = p_account and bus.is_text(p_cursor, 4000);
end;

comment on function api.advance_fills_cursor is
    'Stores how far fills were read, and when; called after they were recorded. Reading some of them again is '
    'harmless.';
