"""What executors do in a storm, with random answers of the broker, and the comparison with it."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from tests.prove.place import ACCOUNTS, STOCK
from tests.prove.storm.client import Client

ORDER = "order_id, fence, client_order_id, account, symbol, quantity, limit_price"


def claim(client: Client) -> None:
    rows = client.ask(f"select {ORDER} from claim_intents(%s, 5)", client.me())
    client.known = (client.known + rows)[-20:]


def amend(client: Client) -> None:
    rows = client.ask(f"select {ORDER} from claim_amends(%s, 5)", client.me())
    client.known = (client.known + rows)[-20:]


def answer(client: Client) -> None:
    if client.known:
        number, fence, *_ = client.random.choice(client.known)
        answer = client.random.choice(
            (
                "order_accepted(%s, %s, 'B' || %s)", "order_accepted(%s, %s, 'B' || %s)",
                "order_accepted(%s, %s, 'B' || %s)", "order_unknown(%s, %s, 'X' || %s)",
                "order_rejected(%s, %s, 'X', 'no' || %s, true)", "order_cancelled(%s, %s, 0 * %s)",
            )
        )  # fmt: skip
        client.ask(f"select {answer}", number, fence, number)


def fill(client: Client) -> None:
    if client.known:
        _, _, client_id, account, symbol, quantity, price = client.random.choice(client.known)
        client.filled += 1
        part = quantity if client.random.random() < 0.5 else max(int(quantity / 2), 1)
        number = f"{client.name}-{client.filled}"
        client.reported = [*client.reported[-19:], (client_id, account, symbol, number, part, price)]
        report(client, account, client_id, number, part, price, 1)


def report(client: Client, *fill: Any) -> None:
    client.ask("select record_fill(%s, %s, null, %s, %s, %s, %s, 0, clock_timestamp())", *fill)


def report_again(client: Client) -> None:
    """Report an execution again, possibly with another price and another fee."""
    if client.reported:
        client_id, account, _, number, part, price = client.random.choice(client.reported)
        price, fee = price + client.random.randint(0, 2), client.random.randint(0, 2)
        report(client, account, client_id, number, part, price, fee)


def bust(client: Client) -> None:
    if client.reported and client.random.random() < 0.2:
        _, account, symbol, number, *_ = client.random.choice(client.reported)
        day = "(clock_timestamp() at time zone 'Asia/Seoul')::date"
        client.ask(f"select bust_fill(%s, %s, %s, {day}, 'storm')", account, symbol, number)


def cancels(client: Client) -> None:
    for number, fence in client.ask("select order_id, fence from claim_cancels(%s, 5)", client.me()):
        client.ask("select order_cancelled(%s, %s, 0)", number, fence)


def doubts(client: Client) -> None:
    for number, fence in client.ask("select order_id, fence from claim_doubts(%s, 5)", client.me()):
        verb = client.random.choice(
            ("order_not_found(%s, %s)", "order_accepted(%s, %s, 'D' || gen_random_uuid())")
        )
        client.ask(f"select {verb}", number, fence)


def reconcile(client: Client) -> None:
    account = client.random.choice(ACCOUNTS)
    ((fingerprint,),) = client.ask("select holdings_fingerprint(%s)", account)
    holdings = {STOCK: client.random.randint(0, 100)} if client.random.random() < 0.2 else {}
    client.ask("select reconcile(%s, %s, %s)", account, fingerprint, Jsonb({"holdings": holdings}))
