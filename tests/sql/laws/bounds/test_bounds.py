"""Any argument to an api function is refused, stored as a fact, or harmless: it never blocks others."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.sql.laws.market_kit import OTHER, SYMBOL, Kit, refusal
from workers.runtime.errors import BadInput, Refused

# Extreme values by type, as SQL.
LONG = "repeat('x', 1000000)"
NUMBERS = ("'NaN'", "'Infinity'", "'-Infinity'", "repeat('9', 131072)", "'1e-16383'", "'-1e30'", "'0'")
EXTREMES: dict[str, tuple[str, ...]] = {
    "numeric": tuple(f"{n}::numeric" for n in NUMBERS),
    "text": (LONG, "''", "'a''b\"c\\d'", "repeat(U&'\\20AC', 300)"),
    "text[]": (
        "array[null]::text[]",
        f"array[['{SYMBOL}'],['B']]",
        "array_fill('x'::text, array[30000])",
        f"array[{LONG}]",
        "'{}'::text[]",
    ),
    "numeric[]": (*(f"array[{n}::numeric]" for n in NUMBERS), "array[null]::numeric[]", "array[[1.0],[2.0]]"),
    "timestamp with time zone[]": ("array['infinity'::timestamptz]", "array['-infinity'::timestamptz]"),
    "timestamp with time zone": ("'infinity'::timestamptz", "'-infinity'::timestamptz"),
    "bigint[]": ("array[9223372036854775807]::bigint[]", "array[-9223372036854775808]::bigint[]"),
    "bigint": ("9223372036854775807::bigint", "(-9223372036854775808)::bigint"),
    "integer": ("2147483647", "(-2147483648)"),
    "interval": ("'178000000 years'::interval", "'-1 s'::interval", "'0 s'::interval"),
    "jsonb": (
        "'null'::jsonb",
        "'[]'::jsonb",
        f"to_jsonb({LONG})",
        f"""'{{"holdings": {{"{SYMBOL}": 1e999}}}}'::jsonb""",
        f"jsonb_build_object('holdings', jsonb_build_object('{SYMBOL}', repeat('9', 131073)))",
        "jsonb_build_object('holdings', '{}'::jsonb, 'cash', '-1e-999'::numeric)",
    ),
    "date": ("'infinity'::date", "'-infinity'::date"),
    "boolean": (),
}

STATIONS = {
    "aegis_executor": "execution",
    "aegis_engine": "risk",
    "aegis_supervisor": "supervisor",
    "aegis_feed": "feed",
    "aegis_strategy": "strategy",
    "aegis_operator": "desk",
    "aegis_viewer": "desk",
}
QUOTE = {
    "p_symbols": f"array['{SYMBOL}']",
    "p_quote_ts": "array['2026-03-02 01:00+00'::timestamptz]",
    "p_trade_ts": "array['2026-03-02 01:00+00'::timestamptz]",
    "p_seqs": "array[100]::bigint[]",
    "p_bids": "array[70000.0]",
    "p_bid_sizes": "array[1.0]",
    "p_asks": "array[70100.0]",
    "p_ask_sizes": "array[1.0]",
    "p_prices": "array[70000.0]",
    "p_sizes": "array[1.0]",
}
BY_NAME: dict[str, str] = QUOTE | {
    "p_account": "'demo'",
    "p_broker": "'paper'",
    "p_venue": "'SIM'",
    "p_currency": "'KRW'",
    "p_symbol": f"'{SYMBOL}'",
    "p_feed": "'sim'",
    "p_source": "'sim'",
    "p_side": "'BUY'",
    "p_quantity": "1::numeric",
    "p_notional": "70000::numeric",
    "p_limit_price": "70000::numeric",
    "p_price": "70000::numeric",
    "p_amount": "1::numeric",
    "p_kind": "'deposit'",
    "p_status": "'CONNECTED'",
    "p_state": "'running'",
    "p_tick_table": "'KRX'",
    "p_exit_profile": "'swing'",
    "p_budget": "1000000::numeric",
    "p_order_notional": "100000::numeric",
    "p_order_type": "'LIMIT'",
    "p_intent_type": "'MANUAL'",
    "p_owner": "'manual'",
    "p_ttl": "'1 min'::interval",
    "p_limit": "1",
    "p_worker_id": "{worker}",
    "p_order_id": "{order}::bigint",
    "p_fence": "{fence}::bigint",
    "p_intent_id": "{intent}::bigint",
    "p_client_order_id": "'{client}'",
    "p_filled_at": "'2026-03-02 01:00+00'::timestamptz",
    "p_mark": "api.holdings_mark('demo')",
    "p_snapshot": """'{"holdings": {}}'::jsonb""",
    "p_trade_date": "'2026-03-02'::date",
    "p_transient": "false",
    "p_strategy": "'momo'",
    "p_lot_size": "1::numeric",
    "p_deposit": "1::numeric",
}
BY_TYPE = {
    "text": "'x'",
    "numeric": "0::numeric",
    "bigint": "1::bigint",
    "integer": "1",
    "interval": "'1 min'::interval",
    "jsonb": "'{}'::jsonb",
    "timestamp with time zone": "'2026-03-02'::timestamptz",
    "date": "'2026-03-02'::date",
    "boolean": "false",
    "text[]": f"array['{SYMBOL}']",
    "bigint[]": "array[1]::bigint[]",
    "numeric[]": "array[1.0]",
}
ONLY = {  # arguments a function needs to reach its real work
    "propose": {"p_intent_type": "'ENTRY'", "p_idempotency_key": "gen_random_uuid()::text"},
    "create_intent": {"p_idempotency_key": "gen_random_uuid()::text"},
    "add_account": {"p_account": "'a' || substr(md5(random()::text), 1, 8)"},
    "add_strategy": {"p_strategy": "'s' || substr(md5(random()::text), 1, 8)"},
    "paper_place": {"p_client_order_id": "gen_random_uuid()::text"},
    "record_fill": {"p_broker_fill_id": "gen_random_uuid()::text"},
    "raise_incident": {"p_kind": "'outage'"},
}
UNDONE = {  # rolled back after each call: otherwise the later calls could not work
    *("halt", "safe", "resume", "adopt", "begin_run", "set_override_code", "stop_worker", "drop_partitions"),
    *("order_unknown", "order_not_found"),
}
NEEDS_ORDER = {"p_order_id", "p_client_order_id", "p_intent_id"}
FUNCTIONS = """
select
    p.proname,
    array(select format_type(u.t, null) from unnest(p.proargtypes) with ordinality as u (t, n) order by u.n),
    p.proargnames[1:p.pronargs],
    array_agg(a.grantee::regrole::text)
from pg_proc as p, aclexplode(p.proacl) as a
where p.pronamespace = 'api'::regnamespace and a.grantee <> p.proowner and p.pronargs > 0
group by p.oid
order by 1
"""
VIEWS = "select oid::regclass::text from pg_class where relkind = 'v' and relnamespace = 'api'::regnamespace"
AFTERWARDS = (
    ("router", "select route_picks(100)"),
    ("exits", "select fire_exits()"),
    ("risk", "select expire_due()"),
    ("risk", "select enforce_modes()"),
    ("superuser", "select api.measure_equity()"),
    ("risk", "select run_due_jobs()"),
    ("execution", "select paper_match()"),
    ("execution", "select orders_waiting()"),
    ("risk", "select work_waiting()"),
    ("risk", "select next_due()"),
)


def ended(conn: Any, statement: str) -> str | None:
    """Run a call; return its error unless it is one of ours. The session stays usable."""
    try:
        with conn.transaction():
            conn.execute(statement.encode())
    except Refused:
        return None
    except psycopg.Error as error:
        return f"{error.sqlstate}: {error.diag.message_primary}"
    return None


def sound(kit: Kit, function: str, names: list[str], types: list[str]) -> dict[str, str]:
    """Return arguments by name with which a function reaches its real work."""
    order_id = fence = intent_id = 1
    client_id = "none"
    if NEEDS_ORDER & set(names) and function not in ("propose", "paper_place"):
        intent_id = kit.buy(1)
        order = next(o for o in kit.claim() if kit.order(o.order_id).intent_id == intent_id)
        order_id, fence, client_id = order.order_id, order.fence, order.client_order_id
    fields = {"worker": kit.worker(), "order": order_id, "fence": fence, "client": client_id} | {
        "intent": intent_id
    }
    given = BY_NAME | ONLY.get(function, {})
    values = {}
    for name, kind in zip(names, types, strict=True):
        values[name] = given.get(name) or BY_TYPE[kind]
        for field, value in fields.items():
            values[name] = values[name].replace("{" + field + "}", str(value))
    return values


def test_no_argument_of_the_door_stops_anything(kit: Kit) -> None:
    """Pass every extreme value of its type to each argument of each function, as a login that may call it."""
    strategy = kit.add_strategy()
    kit.hold(10, owner="momo", symbol=OTHER)
    broken = []

    for function, types, names, roles in kit.db.execute(FUNCTIONS).fetchall():
        station = next(station for role, station in STATIONS.items() if role in roles)
        conn = strategy if station == "strategy" else kit.at(station)
        for name, kind in zip(names, types, strict=True):
            for extreme in (*EXTREMES[kind], f"null::{kind}"):
                values = sound(kit, function, names, types) | {name: extreme}
                arguments = ", ".join(f"{n} => {v}" for n, v in values.items())
                with conn.transaction(force_rollback=function in UNDONE):
                    if wrong := ended(conn, f"select * from api.{function}({arguments})"):
                        broken.append((function, name, extreme[:40], wrong))

    for station, statement in AFTERWARDS:
        if wrong := ended(kit.at(station), statement):
            broken.append((station, statement, wrong))
    for (view,) in kit.db.execute(VIEWS).fetchall():
        if wrong := ended(kit.db, f"select * from {view}"):
            broken.append((view, wrong))
    assert broken == [], "\n".join(map(str, broken))


def test_a_reason_of_268_megabytes_is_refused(kit: Kit) -> None:
    huge = f"select create_intent('demo', '{SYMBOL}', 'BUY', 1, 70000, repeat(repeat('x', 1048576), 256))"

    with pytest.raises(BadInput) as refused:
        kit.call("desk", huge)

    assert refused.value.message == "the reason must be a text of at most 2000 bytes"


# -- facts from outside are stored -------------------------------------------------------------------------

HUGE, TINY = "9" * 131_072, "0." + "0" * 16_381 + "1"


def test_a_fill_out_of_bounds_is_an_incident(kit: Kit) -> None:
    order = kit.live_order("BUY", 10, 70_000)

    for odd in (HUGE, TINY, "NaN", "Infinity"):
        assert kit.fill(order, odd, 70_000) == "UNMATCHED"
        assert kit.fill(order, 1, odd) == "UNMATCHED"
        assert kit.fill(order, 1, 70_000, fee=odd) == "UNMATCHED"

    assert set(kit.incidents()) == {("unmatched_fill", True)}
    assert kit.position() is None
    assert kit.fill(order, 10, 70_000) == "RECORDED"
    assert kit.audit() == []


def test_a_total_out_of_bounds_is_an_incident(kit: Kit) -> None:
    order = kit.live_order("BUY", 10, 70_000)
    query = "select record_cumulative('demo', %s, null, %s::numeric, %s::numeric, 0, 0, null)"

    for quantity, notional in ((HUGE, "1"), ("1", HUGE), (TINY, "1"), ("1", TINY)):
        assert kit.call("execution", query, order.client_order_id, quantity, notional) == "UNMATCHED"

    assert kit.call("execution", query, order.client_order_id, "10", "700000") == "RECORDED"


@pytest.mark.parametrize("odd", [HUGE, TINY], ids=["huge", "tiny"])
def test_a_price_out_of_bounds_is_quarantined(kit: Kit, odd: str) -> None:
    kit.hold(10)

    assert kit.quote(odd, odd) == (0, 0, 1)
    trade = "select quarantined from ingest_trades('sim', %s, %s, '{7}', %s::numeric[], '{1}')"
    assert kit.call("feed", trade, [SYMBOL], [kit.now], [odd]) == 1

    for kept in kit.rows(kit.db, "select data from market.quarantine"):
        assert len(str(kept.data)) < 1_000
    assert kit.rows("desk", "select equity from accounts")


def test_a_sequence_number_at_the_end_of_its_type_does_not_end_the_feed(kit: Kit) -> None:
    assert kit.quote(70_000, 70_100, seq=2**63 - 1) == (0, 0, 1)

    assert kit.call("feed", "select open_feed('sim', 'SIM', 'sim')") < 100


def test_a_snapshot_out_of_bounds_is_unreadable(kit: Kit) -> None:
    query = "select reconcile('demo', holdings_mark('demo'), %s)"

    for odd in ("1e999", "1e-30", HUGE):
        for snapshot in ({"holdings": {SYMBOL: odd}}, {"holdings": {}, "cash": odd}):
            assert kit.call("reconcile", query, Jsonb(snapshot)) == "UNREADABLE"

    assert kit.incidents() == [("unreadable_snapshot", True)]


def test_an_order_number_too_long_to_keep_is_an_incident(kit: Kit) -> None:
    kit.buy(1)
    order = kit.claim_one()

    kit.accept(order, "".join(str(n) for n in range(10_000)))

    assert kit.incidents() == [("odd_order_number", True)]
    assert kit.order(order.order_id).status == "SUBMITTED"
    assert kit.order(order.order_id).broker_order_id is None


def test_a_quantity_that_an_amend_cannot_have_is_not_believed(kit: Kit) -> None:
    order = kit.live_order("SELL" if kit.hold(10) else "", 10, 80_000)
    kit.db.execute("update trade.orders set amend_at = %s, amend_price = 80000", [kit.now])
    amend = "select * from claim_amends(%s, 1)"
    (child,) = kit.rows("execution", amend, kit.worker())

    accepted = "select order_accepted(%s, %s, 'C', %s::numeric)"
    kit.call("execution", accepted, child.order_id, child.fence, TINY)

    assert kit.order(child.order_id).quantity == 10
    assert kit.order(order.order_id).status == "REPLACED"


# -- direct writes to tables -------------------------------------------------------------------------------


def test_an_intent_out_of_bounds_is_not_stored(kit: Kit) -> None:
    for odd in (
        {"quantity": TINY},
        {"reason": "x" * 3_000},
        {"expires_at": "infinity"},
        {"idempotency_key": "x" * 300},
    ):
        assert refusal(lambda odd=odd: kit.insert_intent(**odd)) == "TRI01"  # type: ignore[misc]


def test_an_order_out_of_bounds_is_not_stored(kit: Kit) -> None:
    intent_id = kit.insert_intent()
    kit.db.execute("update trade.order_intents set status = 'CLAIMED'")

    for odd in ({"quantity": TINY}, {"limit_price": TINY}, {"send_before": "infinity"}):
        with kit.db.transaction(force_rollback=True):
            assert refusal(lambda odd=odd: kit.insert_order(intent_id, **odd)) == "TRI01"  # type: ignore[misc]


def test_a_pick_out_of_bounds_is_not_stored(kit: Kit) -> None:
    kit.add_strategy()
    columns = "strategy, account_id, instrument_id, intent_type, side, idempotency_key, request, expires_at"

    for column, odd in (("quantity", TINY), ("limit_price", TINY), ("reason", "x" * 3_000)):
        more = f"{columns}, {column}" + ("" if column == "reason" else ", reason")
        values = [odd] + ([] if column == "reason" else [""])
        query = (
            f"insert into strategy.picks ({more}) values ('momo', 1, 1, 'ENTRY', 'BUY', 'k', '{{}}', now()"
            + ", %s" * len(values)
            + ")"
        )
        assert refusal(lambda q=query, v=values: kit.db.execute(q.encode(), v)) == "TRI01"  # type: ignore[misc]


@pytest.mark.parametrize(
    "table_and_columns",
    [
        ("strategy.strategies", "budget", "order_notional"),
        ("risk.limits", "value"),
        ("market.instruments", "lot_size", "min_notional"),
        ("trade.exit_rules", "value"),
        ("risk.triggers", "threshold"),
    ],
    ids=lambda given: given[0],
)
def test_a_rule_out_of_bounds_is_not_stored(kit: Kit, table_and_columns: tuple[str, ...]) -> None:
    kit.add_strategy()
    table, *columns = table_and_columns

    for column in columns:
        for odd in ("NaN", "Infinity", "1e18", "1e-19"):
            query = f"update {table} set {column} = '{odd}'".encode()
            assert refusal(lambda query=query: kit.db.execute(query)) == "23514"  # type: ignore[misc]


# -- keys --------------------------------------------------------------------------------------------------


def test_no_key_of_a_person_stands_in_the_way_of_a_stop(kit: Kit) -> None:
    kit.add_strategy()
    kit.hold(10, owner="momo")
    version = kit.position("momo").version
    kit.sell(1, 80_000, key=f"exit:1:momo:{version}:0", symbol=SYMBOL, owner="momo")
    kit.call("desk", "select cancel_intent(2, 'test')")

    for prefix in ("aegis:exit", "aegis:pick", "aegis:"):
        with pytest.raises(BadInput):
            kit.buy(1, key=f"{prefix}:1:momo:{version}:0")
    kit.quote(60_000, 60_100)

    assert kit.call("exits", "select fire_exits()") == 1


def test_a_key_of_an_older_database_still_names_its_intent(kit: Kit) -> None:
    first = kit.buy(1, key="exit:1:old:2:0")

    assert kit.buy(1, key="exit:1:old:2:0") == first


def test_a_time_to_live_is_above_zero_and_has_an_end(kit: Kit) -> None:
    for odd in ("0 s", "-1 s", "31 days", "178000000 years"):
        with pytest.raises(BadInput):
            kit.buy(1, ttl=odd)

    assert kit.buy(1, ttl="30 days")
