"""`aegis account`: broker accounts, their cash and holdings, and what blocks trading."""

from __future__ import annotations

from decimal import Decimal

import click

from cli.common.context import App, fetch, pass_app
from cli.common.formats import money
from cli.common.options import json_option
from workers.runtime.errors import AegisError, NotFound

CHECK = """
select
    a.account, a.broker, a.venue, a.currency, a.cash, a.locked_cash, a.free_cash, a.breach_cash, a.equity,
    a.reconciled_at, coalesce(a.is_open, false) as is_open, a.mode
from accounts as a
where a.account = %s
"""
HOLDINGS = """
select p.symbol, p.owner, p.qty, p.free_qty, p.breach_qty, p.avg_price, p.bid, p.unrealized_pnl, p.stop_price,
    p.take_price, p.note
from positions as p
where p.account = %s and p.qty > 0
order by p.symbol, p.owner
"""
BLOCKS = """
with a as (select * from accounts where account = %s)

select format('the mode is %%s: %%s', a.mode, m.reason) as what, 'aegis resume "why"' as todo
from a cross join system_mode as m
where a.mode <> 'NORMAL'
union all
select 'it has not been reconciled since the last start', 'the worker reconcile does that: aegis up'
from a
where a.is_open is not true
union all
select format('its cash is in breach by %%s', trim_scale(a.breach_cash)), 'select * from incidents'
from a
where a.breach_cash > 0
union all
select format('the position in %%s of %%s is in breach', p.symbol, p.owner), 'select * from incidents'
from a join positions as p on p.account = a.account
where p.breach_qty > 0
union all
select format('no price from %%s is fresh', a.venue), 'select * from feeds'
from a
where not exists (select from prices as p where p.venue = a.venue and p.is_fresh)
union all
select format('the worker %%s is not running', w.name), 'aegis up'
from unnest(array['router', 'execution', 'reconcile']) as w (name)
where not exists (select from workers as x where x.name = w.name and x.is_alive)
union all
select 'it has no running strategy', 'aegis strategy list'
from a
where not exists (select from strategies as s where s.account = a.account and s.status = 'RUNNING')
"""


@click.group()
def account() -> None:
    """Add accounts and see whether they can trade.

    \b
    Examples:
      aegis account add mine --venue KRX --currency KRW --deposit 10000000
      aegis account check mine
    """


@account.command()
@click.argument("name")
@click.option("--broker", default="paper", show_default=True, help="Its broker; see select * from brokers.")
@click.option("--venue", required=True, help="The venue of its symbols; see select * from venues.")
@click.option("--currency", required=True, help="The currency of its cash.")
@click.option("--broker-account", metavar="NUMBER", help="The broker's number for the account.")
@click.option("--deposit", type=Decimal, metavar="AMOUNT", help="Paper money to start with.")
@pass_app
def add(
    app: App,
    name: str,
    broker: str,
    venue: str,
    currency: str,
    broker_account: str | None,
    deposit: Decimal | None,
) -> None:
    """Add an account: one broker account and one currency.

    \b
    Examples:
      aegis account add mine --venue SIM --currency KRW --deposit 50000000
    """
    app.desk.execute(
        "select add_account(%s, %s, %s, %s, %s, %s)",
        [name, broker, venue, currency, broker_account, deposit],
    )
    with_cash = f" with {money(deposit, currency)}" if deposit else ""
    app.out.say(f"Added {name}: {broker} on {venue}{with_cash}. Next: aegis strategy add.")


@account.command("list")
@json_option
@pass_app
def list_accounts(app: App) -> None:
    """List the accounts.

    \b
    Examples:
      aegis account list
    """
    rows = fetch(
        app.desk,
        """
        select account, broker, venue, currency, cash, free_cash, equity, is_open, mode
        from accounts
        order by account
        """,
    )
    app.out.table(rows, empty="No account yet: aegis account add.")


@account.command()
@click.argument("name")
@json_option
@pass_app
def check(app: App, name: str) -> None:
    """Show cash and holdings, and what blocks trading.

    \b
    Examples:
      aegis account check paper-krw
    """
    found = fetch(app.desk, CHECK, [name])
    if not found:
        raise NotFound(f"account {name} does not exist", hint="aegis account list")
    holdings, blocks = fetch(app.desk, HOLDINGS, [name]), fetch(app.desk, BLOCKS, [name])
    if app.out.json:
        app.out.record({**found[0], "holdings": holdings, "blocked_by": blocks})
        return
    app.out.record(found[0])
    app.out.say("")
    app.out.table(holdings, empty="No holdings.")
    app.out.say("")
    app.out.table(blocks, title="What blocks trading", empty="Nothing blocks trading.")


@account.command()
@click.argument("name")
@click.argument("amount", type=Decimal)
@click.option("--note", default="by hand", show_default=True, help="Where it came from.")
@click.option("--key", metavar="KEY", help="Books a repeated command only once. Default: a new key.")
@pass_app
def deposit(app: App, name: str, amount: Decimal, note: str, key: str | None) -> None:
    """Book AMOUNT that came into an account outside trading.

    This moves no money; it records that money was moved.

    \b
    Examples:
      aegis account deposit mine 5000000 --note "from the bank"
    """
    _book(app, name, "deposit", amount, note, key)


@account.command()
@click.argument("name")
@click.argument("amount", type=Decimal)
@click.option("--note", default="by hand", show_default=True, help="Where it went.")
@click.option("--key", metavar="KEY", help="Books a repeated command only once. Default: a new key.")
@pass_app
def withdraw(app: App, name: str, amount: Decimal, note: str, key: str | None) -> None:
    """Book AMOUNT that left an account outside trading.

    This moves no money; it records that money was moved.  If buys have reserved more cash than is left,
    those not yet sent are cancelled.

    \b
    Examples:
      aegis account withdraw mine 1000000
    """
    _book(app, name, "withdrawal", -amount, note, key)


def _book(app: App, name: str, kind: str, amount: Decimal, note: str, key: str | None) -> None:
    """Book the amount once under a key, so that the command can be repeated if the answer is lost."""
    import uuid

    import psycopg

    key = key or str(uuid.uuid4())
    found = fetch(app.desk, "select currency from accounts where account = %s", [name])
    if not found:
        raise NotFound(f"account {name} does not exist", hint="aegis account list")
    try:
        (row,) = fetch(
            app.desk, "select record_cash(%s, %s, %s, %s, %s) as cash", [name, kind, amount, note, key]
        )
    except psycopg.OperationalError as error:
        raise AegisError(
            f"it is not known whether it was booked: {str(error).strip()}",
            hint=f"The same command with --key {key} books it at most once.",
        ) from error
    app.out.say(f"Booked. {name} now has {money(row['cash'], found[0]['currency'])} (key {key}).")
