"""What people do in a storm: trade by hand, move cash, decide, halt and resume."""

from __future__ import annotations

from tests.prove.place import ACCOUNTS, CODE, COIN, STOCK, STRATEGY
from tests.prove.storm.client import Client


def buy(client: Client) -> None:
    create_intent(client, "BUY", "manual", "MANUAL", client.random.choice(ACCOUNTS))


def sell(client: Client) -> None:
    create_intent(client, "SELL", "manual", "MANUAL", client.random.choice(ACCOUNTS))


def sell_for_strategy(client: Client) -> None:
    create_intent(client, "SELL", STRATEGY, "EXIT", ACCOUNTS[0])


def cancel(client: Client) -> None:
    rows = client.ask("select intent_id from intents where closed_at is null order by random() limit 1")
    for (number,) in rows:
        client.ask("select cancel_intent(%s, 'storm')", number)


def money(client: Client) -> None:
    amount = client.random.choice((-3_000_000, 3_000_000))
    kind = "deposit" if amount > 0 else "withdrawal"
    client.ask("select record_cash(%s, %s, %s, 'storm')", client.random.choice(ACCOUNTS), kind, amount)


def decide(client: Client) -> None:
    for (number,) in client.ask("select intent_id from approvals order by random() limit 3"):
        client.ask(f"select {client.random.choice(('approve', 'reject'))}(%s, 'storm')", number)


def mode(client: Client) -> None:
    if client.random.random() < 0.15:
        client.ask(f"select {client.random.choice(('halt', 'safe'))}('storm')")
        client.ask("select resumed from resume('storm', %s)", CODE)


def create_intent(client: Client, side: str, owner: str, kind: str, account: str) -> None:
    symbol = client.random.choice((STOCK, COIN))
    price = 70_000 if symbol == STOCK else 200
    limit = client.random.choice((None, price, int(price * 1.03)))
    client.ask(
        "select create_intent(%s, %s, %s, %s::numeric, %s::numeric, 'storm', %s, %s, null, %s::interval)",
        account, symbol, side, client.random.randint(1, 30), limit, owner, kind,
        client.random.choice(("1 s", "10 s")),
    )  # fmt: skip
