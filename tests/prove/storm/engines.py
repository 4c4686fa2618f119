"""What feeds, strategies and the engine do in a storm."""

from __future__ import annotations

from decimal import Decimal

from tests.prove.place import COIN, STOCK
from tests.prove.storm.client import Client


def quote(client: Client) -> None:
    moves = [client.random.randint(-60, 60) for _ in range(2)]
    bids = [Decimal(70_000 + moves[0] * 10 // 100 * 100), 200 + Decimal(moves[1]) / 50]
    client.ask(
        "select applied from ingest_quotes('sim', %s::text[], array_fill(clock_timestamp(), '{2}'),"
        " '{1,2}', %s::numeric[], '{50,500}', %s::numeric[], '{50,500}')",
        [STOCK, COIN], bids, [bids[0] + 100, bids[1] + Decimal('0.01')],
    )  # fmt: skip


def propose(client: Client) -> None:
    side, kind = client.random.choice((("BUY", "ENTRY"), ("BUY", "ADD"), ("SELL", "EXIT")))
    client.ask("select propose(%s, %s, %s)", client.random.choice((STOCK, COIN)), side, kind)


def route(client: Client) -> None:
    client.ask("select route_picks(20)")


def fire(client: Client) -> None:
    client.ask("select fire_exits()")


def enforce(client: Client) -> None:
    client.ask("select enforce_modes()")


def expire(client: Client) -> None:
    client.ask("select expire_due()")


def jobs(client: Client) -> None:
    client.ask("select run_due_jobs()")


def due(client: Client) -> None:
    client.ask("select next_due()")
