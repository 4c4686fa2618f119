-- 40_routing: the router takes picks through the three gates, with strategies in turn.

create or replace function strategy.lock_picks_in_turn(p_limit integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Take each strategy's first pick, then each one's second: one with many waiting picks delays only itself.
    return array(
        select p.pick_id
        from (
            select
                w.pick_id,
                row_number() over (partition by w.strategy order by w.pick_id) as turn
            from strategy.picks as w
            where w.status = 'NEW' and w.expires_at > bus.clock()
        ) as t
        join strategy.picks as p on p.pick_id = t.pick_id and p.status = 'NEW'
        order by t.turn, t.pick_id
        limit p_limit
        for no key update of p skip locked
    );
end;
$$;

comment on function strategy.lock_picks_in_turn is
    'Locks waiting picks, with strategies in turn, and returns their ids; skips picks that others have locked.';

create or replace function api.route_picks(p_limit integer)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids      bigint[];
    v_accounts bigint[];
    v_pick     strategy.picks;
    v_count    integer := 0;
begin
    perform bus.require_limit(p_limit);
    perform bus.require_home();
    perform risk.lock_gate_shared();

    v_ids := strategy.lock_picks_in_turn(p_limit);

    if v_ids = '{}' then
        return 0;
    end if;

    -- Lock order: all accounts, then all positions.  Picks may be locked in any order; those of an account that stays
    -- locked for long are left for a later call.
    v_accounts := trade.lock_accounts(
        array(select p.account_id from strategy.picks as p where p.pick_id = any(v_ids))
    );
    v_ids := array(
        select p.pick_id from strategy.picks as p where p.pick_id = any(v_ids) and p.account_id = any(v_accounts)
    );
    perform
    from trade.positions as h
    where (h.account_id, h.instrument_id, h.owner) in (
        select p.account_id, p.instrument_id, p.strategy from strategy.picks as p where p.pick_id = any(v_ids)
    )
    order by h.account_id, h.instrument_id, h.owner
    for no key update;

    for v_pick in
        select p.*
        from unnest(v_ids) with ordinality as t (pick_id, turn)
        join strategy.picks as p on p.pick_id = t.pick_id
        order by t.turn
    loop
        begin
            if strategy.gate_system(v_pick) and strategy.gate_market(v_pick) then
                perform strategy.gate_portfolio(v_pick);
            end if;
        exception when others then
            if bus.concerns_all(sqlstate) then
                raise;
            end if;

            perform strategy.answer_pick(v_pick, 3, false, sqlstate, left(sqlerrm, 1000), '{}');
            perform risk.note_failed_item('route_picks', format('pick %s', v_pick.pick_id), sqlstate, sqlerrm);
        end;

        v_count := v_count + 1;
    end loop;

    return v_count;
end;
$$;

comment on function api.route_picks is
    'Answers waiting picks, with strategies in turn: each gate''s answer is a row, and a pick that passes all three '
    'becomes an intent. Returns how many. Raises TRM02, TRI01, TRH01.';
