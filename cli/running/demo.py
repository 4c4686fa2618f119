"""Set up what the demo trades with: a paper account, its symbols and two example strategies, added once.

The venue of the feed decides which account is added: KRW and Korean stocks for the simulator, USDT and two
coins for the recording.  If the venue has an account, nothing is changed, so a person's changes are kept.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from cli.database.catalog import Connection
from workers.feeds.simulator import INSTRUMENTS
from workers.runtime.errors import AegisError

if TYPE_CHECKING:
    from cli.database.connect import Database

CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # no two characters look alike


@dataclass(frozen=True)
class Instrument:
    """A symbol and its rules."""

    symbol: str
    name: str
    tick_table: str
    lot_size: str = "1"
    min_notional: str = "0"


@dataclass(frozen=True)
class Demo:
    """An account with what it needs to trade one venue."""

    venue: str
    account: str
    currency: str
    deposit: int
    budget: int
    order_notional: int
    exit_profile: str
    instruments: Sequence[Instrument]
    suffix: str = ""

    @property
    def strategies(self) -> Mapping[str, str]:
        """The names of the strategies and their classes."""
        return {
            f"momentum{self.suffix}": "workers.strategies.momentum:Momentum",
            f"mean_reversion{self.suffix}": "workers.strategies.mean_reversion:MeanReversion",
        }


# The profiles are chosen so that positions are closed within seconds: in the simulated market a trading day
# passes in a minute, in the recording a coin moves a few dollars.
DEMOS = {
    demo.venue: demo
    for demo in (
        Demo(
            "SIM", "paper-krw", "KRW", 100_000_000, 40_000_000, 3_000_000, "brisk",
            [Instrument(i.symbol, i.name, "KRX") for i in INSTRUMENTS],
        ),
        Demo(
            "BINANCE", "paper-usdt", "USDT", 100_000, 40_000, 5_000, "scalp",
            [
                Instrument("BTCUSDT", "Bitcoin", "0.1", "0.001", "5"),
                Instrument("ETHUSDT", "Ether", "0.01", "0.001", "5"),
            ],
            "_usdt",
        ),
    )
}  # fmt: skip


def code_file(database: Database) -> Path:
    """The file with the override code that the demo generated."""
    return database.settings.secrets_dir / f"override_code.{database.name}"


def seed(conn: Connection, venue: str, keep_code_in: Path) -> str | None:
    """Add the demo account of this venue unless it has one; return the override code if a new one was set."""
    with conn.transaction():
        (accounts,) = conn.execute("select count(*) from accounts").fetchone() or (0,)
        if conn.execute("select from accounts where venue = %s", [venue]).fetchone() is not None:
            return None
        if venue not in DEMOS:
            raise AegisError(
                f"no account trades on the venue {venue}",
                hint="Add one: aegis account add, aegis universe add, aegis strategy add.",
            )
        _add(conn, DEMOS[venue])
        return None if accounts else _set_code(conn, keep_code_in)


def _add(conn: Connection, demo: Demo) -> None:
    for i in demo.instruments:
        conn.execute(
            "select add_instrument(%s, %s, %s, %s, %s, %s::numeric, %s::numeric)",
            [demo.venue, i.symbol, i.name, demo.currency, i.tick_table, i.lot_size, i.min_notional],
        )
    conn.execute(
        "select add_account(%s, 'paper', %s, %s, null, %s)",
        [demo.account, demo.venue, demo.currency, demo.deposit],
    )
    symbols = [i.symbol for i in demo.instruments]
    for name, where in demo.strategies.items():
        conn.execute(
            "select add_strategy(%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                name,
                where,
                demo.account,
                symbols,
                demo.budget,
                demo.order_notional,
                demo.exit_profile,
                Jsonb({}),
            ],
        )
        conn.execute("select start_strategy(%s)", [name])


def _set_code(conn: Connection, file: Path) -> str | None:
    """Generate and set the override code; None if a person has already set one."""
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            # All different, so that the database does not refuse it as too easy to guess.
            letters = secrets.SystemRandom().sample(CODE_LETTERS, 8)
            stream.write("".join(letters[:4]) + "-" + "".join(letters[4:]))
    code = file.read_text().strip()
    changed, _ = conn.execute("select * from set_override_code(%s)", [code]).fetchone() or (False, "")
    return code if changed else None
