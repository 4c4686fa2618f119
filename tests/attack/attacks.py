"""Attacks by a hostile strategy with its own login; each function carries out one attack once.

An attack may be refused, cut off or succeed without effect; every outcome is accepted and counted.  The
observer measures the effect on others.  Run this as a separate process, `python -m tests.attack.attacks SEED
SECONDS`, with the login's address in AEGIS_DATABASE_URL; it prints the outcomes of each attack as JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import psycopg

Connection: TypeAlias = psycopg.Connection[Any]

CHANNELS = (
    *(
        "new_intent",
        "new_pick",
        "order_work",
        "system_mode",
        "strategy_changed",
        "command",
        "alert",
        "quotes",
        "prices_reached",
    ),
    *("event", "no_such_channel"),
)
PAYLOADS = ("", "drain", "HALT", "NORMAL", "stop", '{"intent_id": 1}', "1", "\x01\x7f", "x" * 7900)
NUMBERS = (
    *("'NaN'", "'Infinity'", "'-Infinity'", "repeat('9', 131072)", "('0.' || repeat('0', 16000) || '1')"),
    *("'0'", "'-1'", "'1e30'"),
)
REGISTER = "select count(hold_worker_lock(register_worker(%s, 1, 'h'))) from generate_series(1, 40000)"
TELL = """
select count(log_error(0, 'XX000', repeat('x', 100000), jsonb_build_object('x', repeat('y', 100000))))
from generate_series(1, 500)
"""
AT_LENGTH = """
select propose(%s, 'BUY', p_reason => repeat('x', 10000000), p_idempotency_key => repeat('k', 3000))
"""
FORGE = "do $$ begin perform /* function api.halt( */ api.log_error(0, 'TRM01', 'forged', '{}'); end $$"
ELSEWHERE = ("postgres", "template1")
PAUSE = (0.0, 0.6)  # seconds between two attacks
HELD = (0.5, 3.0)  # seconds that an attack keeps its transaction or connections open
QUERY_TIME = 5.0  # seconds: the attacker's own statement_timeout


class Attacker:
    """One process with one strategy's login."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.outcomes: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            attack = self.random.choice(ATTACKS)
            self.outcomes[f"{attack.__name__}: {self.outcome(attack)}"] += 1
            time.sleep(self.random.uniform(*PAUSE))

    def outcome(self, attack: Callable[[Attacker], None]) -> str:
        """Run one attack; return "done", the SQLSTATE of its error, or "cut off"."""
        try:
            attack(self)
        except psycopg.Error as error:
            return error.sqlstate or "cut off"
        return "done"

    def connect(self, database: str | None = None) -> Connection:
        parts = urlsplit(self.url)
        url = urlunsplit(parts._replace(path=f"/{database}")) if database else self.url
        conn = psycopg.connect(url, autocommit=True, connect_timeout=5)
        conn.execute(f"set statement_timeout = '{QUERY_TIME:.0f}s'")
        return conn

    def hold(self) -> None:
        time.sleep(self.random.uniform(*HELD))


def notify_everybody(a: Attacker) -> None:
    """Notify every channel 200 times, each with a payload chosen at random."""
    with a.connect() as conn:
        for channel in CHANNELS:
            payload = a.random.choice(PAYLOADS)
            conn.execute(
                "select pg_notify(%s, case when %s = '' then '' else %s || n::text end)"
                " from generate_series(1, 200) as n",
                [channel, payload, payload[:7800]],
            )


def order_a_drain(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute("notify command, 'drain'")
        conn.execute("notify system_mode, 'NORMAL'")


def hold_the_queue(a: Attacker) -> None:
    """Listen and stay idle in a transaction, so that the queue's tail cannot advance, and flood the queue."""
    with a.connect() as listener, a.connect() as flood:
        listener.execute("listen anything")
        listener.execute("begin")
        listener.execute("select 1")
        for _ in range(20):
            flood.execute(
                "select pg_notify('anything', repeat('x', 7000) || n) from generate_series(1, 100) as n"
            )
        a.hold()


def hold_a_snapshot(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute("begin isolation level repeatable read")
        conn.execute("select count(*) from prices")
        a.hold()
        conn.execute("commit")


def hold_an_event(a: Attacker) -> None:
    """Leave an event uncommitted, which keeps locks on the history's partitions."""
    with a.connect() as conn:
        conn.execute("begin")
        conn.execute("select log_error(0, 'XX000', 'hostile', '{}')")
        a.hold()
        conn.execute("commit")


def hold_a_pick(a: Attacker) -> None:
    with a.connect() as conn:
        symbol = own_symbol(conn)
        conn.execute("begin")
        conn.execute("select propose(%s, 'BUY')", [symbol])
        a.hold()
        conn.execute("commit")


def register_by_the_thousand(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute(REGISTER, ["execution"])


def register_as_oneself(a: Attacker) -> None:
    with a.connect() as conn:
        row = conn.execute("select 'strategy.' || strategy from my_strategy").fetchone()
        conn.execute(REGISTER, [row[0] if row else "strategy"])


def fill_the_history(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute(TELL)


def take_every_connection(a: Attacker) -> None:
    with ExitStack() as opened:
        with suppress(psycopg.OperationalError):
            for _ in range(150):
                opened.enter_context(a.connect())
        a.hold()


def go_elsewhere(a: Attacker) -> None:
    """Use another database of the server, where temporary tables, locks and large objects are unguarded."""
    with a.connect(a.random.choice(ELSEWHERE)) as conn:
        conn.execute("create temp table t as select repeat('x', 1000) as x from generate_series(1, 100000)")
        conn.execute("select pg_advisory_lock(n) from generate_series(1, 40000) as n")
        conn.execute("select lo_create(0)")


def lock_what_there_is(a: Attacker) -> None:
    with a.connect() as conn:
        for statement in (
            "select pg_advisory_lock(n) from generate_series(1, 40000) as n",
            "create temp table t (x int)",
            "select lo_create(0)",
            "select * from prices for update",
            "lock table bus.events",
        ):
            a.outcomes[f"{statement.split(' from')[0]}: {a.outcome(_runs(conn, statement))}"] += 1


def propose_nonsense(a: Attacker) -> None:
    with a.connect() as conn:
        symbol, number = own_symbol(conn), a.random.choice(NUMBERS)
        quantity, limit = a.random.choice([(number, "null"), ("1", number)])
        conn.execute(
            f"select propose(%s, 'BUY', p_quantity => {quantity}::text::numeric,"
            f" p_limit_price => {limit}::text::numeric)".encode(),
            [symbol],
        )


def propose_at_length(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute(AT_LENGTH, [own_symbol(conn)])


def flood_the_router(a: Attacker) -> None:
    with a.connect() as conn:
        symbol = own_symbol(conn)
        for _ in range(8):
            conn.execute("select count(propose(%s, 'BUY')) from generate_series(1, 50)", [symbol])


def trade_anything(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute("select propose('035420', 'BUY')")


def take_others_picks_back(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute("select count(cancel_pick(n)) from generate_series(1, 1000) as n")


def call_every_door(a: Attacker) -> None:
    """Call 15 random functions of `api` with nulls: ungranted ones are refused, granted ones must cope."""
    with a.connect() as conn:
        names = conn.execute(
            """
            select format('select api.%I(%s)', p.proname, (
                select string_agg(format('null::%s', format_type(t.oid, null)), ', ' order by t.ord)
                from unnest(p.proargtypes) with ordinality as t (oid, ord)
            ))
            from pg_proc as p
            where p.pronamespace = 'api'::regnamespace and p.prorettype <> 'trigger'::regtype
            """
        ).fetchall()
        for (call,) in a.random.sample(names, 15):
            a.outcomes[f"call_every_door: {a.outcome(_runs(conn, call))}"] += 1


def undo_settings(a: Attacker) -> None:
    with a.connect() as conn:
        for name, value in (
            ("synchronous_commit", "off"),
            ("idle_in_transaction_session_timeout", "0"),
            ("lock_timeout", "0"),
            ("jit", "on"),
            ("session_replication_role", "replica"),
            ("role", "aegis_owner"),
        ):
            a.outcomes[f"set {name}: {a.outcome(_runs(conn, f'set {name} = {value!r}'))}"] += 1
        conn.execute("begin")
        conn.execute("select log_error(0, 'XX000', 'hostile', '{}')")
        a.hold()


def end_others(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename <> current_user")


def think_long(a: Attacker) -> None:
    """Run a statement that sleeps for four seconds."""
    with a.connect() as conn:
        conn.execute("select pg_sleep(4)")


def forge_a_cause(a: Attacker) -> None:
    with a.connect() as conn:
        conn.execute(FORGE)


def _runs(conn: Connection, statement: str) -> Callable[[Attacker], None]:
    def run(_: Attacker) -> None:
        conn.execute(statement.encode())

    return run


def own_symbol(conn: Connection) -> str:
    row = conn.execute("select symbols[1] from my_strategy").fetchone()
    assert row is not None
    return str(row[0])


ATTACKS: tuple[Callable[[Attacker], None], ...] = (
    *(notify_everybody, order_a_drain, hold_the_queue, hold_a_snapshot, hold_an_event, hold_a_pick),
    *(register_by_the_thousand, register_as_oneself, fill_the_history, take_every_connection, go_elsewhere),
    *(lock_what_there_is, propose_nonsense, propose_at_length, flood_the_router, trade_anything),
    *(take_others_picks_back, call_every_door, undo_settings, end_others, think_long, forge_a_cause),
)


def main(seed: int, seconds: float) -> None:
    attacker = Attacker(os.environ["AEGIS_DATABASE_URL"], seed)
    attacker.run(seconds)
    print(json.dumps(attacker.outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
