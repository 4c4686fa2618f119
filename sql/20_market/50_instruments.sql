-- 50_instruments: which instruments can be traded, and in which steps of price and quantity.

create or replace function api.add_tick_table(
    p_tick_table text,
    p_prices     numeric[],
    p_ticks      numeric[]
)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_bad record;
begin
    if coalesce(p_tick_table, '') !~ '^[A-Za-z0-9._-]{1,40}$' then
        raise exception '% is not a name for a tick table', coalesce(left(p_tick_table, 80), 'null')
            using errcode = 'TRI01', hint = '1 to 40 letters, digits and . _ -';
    end if;

    -- Each band must begin on a multiple of its tick, so that a price rounded at its edge is valid in both bands.
    select b.price, b.tick into v_bad
    from unnest(p_prices, p_ticks) as b (price, tick)
    where (bus.is_amount(b.price) and bus.is_amount(b.tick) and b.price >= 0 and b.tick > 0
           and b.price % nullif(b.tick, 0) = 0) is not true
    limit 1;

    if found then
        raise exception 'tick % is not valid from price %', coalesce(left(v_bad.tick::text, 40), 'null'),
            coalesce(left(v_bad.price::text, 40), 'null')
            using errcode = 'TRI01',
                  hint = 'Both are amounts, the tick is above zero, and the price is a multiple of it.';
    end if;

    if (0 = any(p_prices)) is not true
        or (select count(*) <> count(distinct b.price) from unnest(p_prices) as b (price)) then
        raise exception 'the bands of tick table % do not cover each price once', p_tick_table
            using errcode = 'TRI01', hint = 'One band begins at 0, and no two begin at the same price.';
    end if;

    delete from market.tick_sizes as t where t.tick_table = p_tick_table;
    insert into market.tick_sizes (tick_table, price_from, tick_size)
    select p_tick_table, b.price, b.tick
    from unnest(p_prices, p_ticks) as b (price, tick);
    perform bus.record_event('tick_table', null, 'changed', null, jsonb_build_object(
        'tick_table', p_tick_table, 'prices', to_jsonb(p_prices), 'ticks', to_jsonb(p_ticks)
    ));

    return cardinality(p_prices);
end;
$$;

comment on function api.add_tick_table is
    'Adds a tick table, or replaces its bands: each tick applies from the price beside it, inclusive. Returns the '
    'number of bands. Raises TRI01.';

create or replace function api.add_instrument(
    p_venue        text,
    p_symbol       text,
    p_name         text,
    p_currency     text,
    p_tick_table   text,
    p_lot_size     numeric default 1,
    p_min_notional numeric default 0
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_instrument_id bigint;
    v_constraint    text;
begin
    perform bus.require_text('the venue', p_venue), bus.require_text('the name', p_name),
        bus.require_text('the tick table', p_tick_table);

    if (p_currency ~ '^[A-Za-z0-9]{1,20}$' and p_symbol is not null and p_name is not null) is not true then
        perform bus.refuse_argument('an instrument', 'a symbol with a name and a plain currency');
    end if;

    if not exists (select from market.venues as v where v.venue = p_venue)
        or not exists (select from market.tick_sizes as t where t.tick_table = p_tick_table) then
        raise exception 'there is no venue % or no tick table %', p_venue, p_tick_table
            using errcode = 'TRI01', hint = 'select * from venues; select distinct tick_table from tick_sizes;';
    end if;

    if (bus.is_amount(p_lot_size) and p_lot_size > 0 and bus.is_amount(p_min_notional) and p_min_notional >= 0)
        is not true then
        raise exception 'a lot of % and a least notional of % are not amounts',
            coalesce(left(p_lot_size::text, 40), 'null'), coalesce(left(p_min_notional::text, 40), 'null')
            using errcode = 'TRI01', hint = 'The lot is above zero, the least notional not below; 18 decimals at most.';
    end if;

    insert into market.instruments as i (venue, symbol, name, currency, tick_table, lot_size, min_notional)
    values (p_venue, p_symbol, p_name, p_currency, p_tick_table, p_lot_size, p_min_notional)
    on conflict (venue, symbol) do update
    set name = excluded.name,
        tick_table = excluded.tick_table,
        lot_size = excluded.lot_size,
        min_notional = excluded.min_notional
    returning i.instrument_id into v_instrument_id;

    return v_instrument_id;
exception
    when check_violation then
        get stacked diagnostics v_constraint = constraint_name;

        if v_constraint <> 'instruments_symbol_plain' then
            raise;
        end if;

        raise exception 'the symbol % cannot be taken', left(p_symbol, 80)
            using errcode = 'TRI01',
                  hint = 'A symbol is 1 to 40 letters of any script, digits and . _ / : = ^ & ! + @ # * $ -';
end;
$$;

comment on function api.add_instrument is
    'Adds an instrument, or changes the rules of an existing one; returns its id. Raises TRI01.';
