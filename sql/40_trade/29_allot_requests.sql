-- 29_allot_requests: several requests may want the same shares or the same cash: they get them in the order asked.

create or replace function trade.used_up(
    p_used   numeric,
    p_amount numeric,
    p_free   numeric
)
returns numeric
language sql
immutable
begin atomic
    select case when p_used + p_amount <= p_free then p_used + p_amount else p_used end;
end;

comment on function trade.used_up is 'What is used of p_free after one more request: it takes its whole amount or nothing.';

create or replace aggregate trade.used_so_far (numeric, numeric)(
    sfunc = trade.used_up,
    stype = numeric,
    initcond = '0'
);

comment on aggregate trade.used_so_far (numeric, numeric) is
    'As a window in the order asked: what requests (amount, free) have used so far, when each takes its whole amount or '
    'nothing. A null amount takes nothing.';

create or replace function trade.amounts_of(p_judged trade.judged_request[])
returns table (
    judged         trade.judged_request,
    place          text,
    amount         numeric,
    free           numeric,
    is_repeated    boolean,
    lacks_cash     boolean,
    lacks_quantity boolean
)
language sql
stable
begin atomic
    select
        row(j.*)::trade.judged_request,
        case (j.request).side
            when 'BUY' then format('account %s', (j.request).account_id)
            else format('%s/%s/%s', (j.request).account_id, (j.request).instrument_id, (j.request).owner)
        end,
        case
            when j.refusal is null and j.known_id is null
                then j.quantity * case (j.request).side when 'BUY' then j.price * (1 + j.rate) else 1 end
        end,
        case (j.request).side when 'BUY' then b.cash - b.locked_cash else coalesce(p.qty - p.locked_qty, 0) end,
        row_number() over (
            partition by (j.request).account_id, (j.request).idempotency_key order by j.nr
        ) > 1,
        (j.request).side = 'BUY' and b.breach_cash > 0,
        exists (
            select
            from trade.positions as h
            where h.account_id = (j.request).account_id
              and h.instrument_id = (j.request).instrument_id
              and h.breach_qty > 0
        )
    from unnest(p_judged) as j
    join trade.balances as b on b.account_id = (j.request).account_id
    left join trade.positions as p
        on p.account_id = (j.request).account_id
        and p.instrument_id = (j.request).instrument_id
        and p.owner = (j.request).owner;
end;

comment on function trade.amounts_of is
    'What each request takes of its position (a sell) or of the cash of its account (a buy), and what is free there before '
    'the first of them.';

create or replace function trade.allot_requests(p_judged trade.judged_request[])
returns setof trade.judged_request
language sql
stable
begin atomic
    select
        (u.judged).nr, (u.judged).request, (u.judged).asked, (u.judged).known_id, (u.judged).mode, (u.judged).verdict,
        (u.judged).action, (u.judged).quantity, (u.judged).price, (u.judged).rate,
        u.free - coalesce(lag(u.used) over w, 0),
        case
            when u.amount is null then (u.judged).refusal
            when u.is_repeated then 'repeated key'
            when u.lacks_cash then 'cash in breach'
            when u.lacks_quantity then 'position in breach'
            when u.used = coalesce(lag(u.used) over w, 0) then 'not free'
        end
    from (
        select
            a.*,
            trade.used_so_far(case when not a.is_repeated then a.amount end, a.free)
                over (partition by a.place order by (a.judged).nr) as used
        from trade.amounts_of(p_judged) as a
    ) as u
    window w as (partition by u.place order by (u.judged).nr);
end;

comment on function trade.allot_requests is
    'Gives what is free to judged requests in the order asked; one that does not fit is refused and takes nothing.';
