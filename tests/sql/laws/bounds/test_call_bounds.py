"""Any argument to an api function is refused, stored as a fact, or harmless: it never blocks others."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.sql.laws.market_kit import OTHER, SYMBOL, Kit
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
    "p_mark": "api.holdings_fingerprint('demo')",
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
