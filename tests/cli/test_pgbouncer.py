"""The shipped pgbouncer.ini works unchanged: answers are right, and nobody logs in without a password."""

import asyncio
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import psycopg
import pytest

from cli.database import pooler
from cli.database.binaries import ServerError
from cli.database.embedded import Server
from tests.cli.launcher import OTHERS, as_account, ask, do, needs_root, scratch, start
from workers.runtime.bus import Bus, BusError
from workers.runtime.settings import Settings

PASSWORD = "of the trader"
CLIENTS = 20
TRANSACTIONS = 1000

try:
    pooler.find_pgbouncer()
except ServerError as error:
    pytest.skip(f"{error}; {error.hint}", allow_module_level=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with scratch() as directory, start(directory / "server") as running:
        do(running, f"create role trader login password '{PASSWORD}'")
        do(running, "create table public.ledger (driver text, client int, number int, backend int)")
        do(running, "grant all on public.ledger to trader")
        yield running


@pytest.fixture
def pooled(server: Server) -> Iterator[str]:
    """The address for the login trader through a running PgBouncer."""
    process = pooler.start(server)
    yield pooler.pooled_url(server, "postgres", "trader")
    process.terminate()
    process.wait()


def assert_all_is_right(server: Server, driver: str) -> None:
    """Every transaction is stored once, and fewer server sessions than clients carried them."""
    entries, distinct, sessions = (
        ask(server, f"select {what} from public.ledger where driver = '{driver}'")
        for what in ("count(*)", "count(distinct (client, number))", "count(distinct backend)")
    )
    assert (entries, distinct) == (TRANSACTIONS, TRANSACTIONS)
    assert sessions < CLIENTS


async def test_a_thousand_concurrent_transactions_of_asyncpg_are_right(server: Server, pooled: str) -> None:
    async def trade(client: int) -> None:
        conn = await asyncpg.connect(pooled, password=PASSWORD, statement_cache_size=0)
        for number in range(TRANSACTIONS // CLIENTS):
            async with conn.transaction():
                insert = "insert into public.ledger values ($1, $2, $3, pg_backend_pid())"
                await conn.execute(insert, "asyncpg", client, number)
                assert (
                    await conn.fetchval("select $1::int * 1000 + $2::int", client, number)
                    == client * 1000 + number
                )
                mine = "select max(l.number) from public.ledger as l where l.driver = $1 and l.client = $2"
                assert await conn.fetchval(mine, "asyncpg", client) == number
        await conn.close()

    await asyncio.gather(*(trade(client) for client in range(CLIENTS)))

    assert_all_is_right(server, "asyncpg")


def test_a_thousand_concurrent_transactions_of_psycopg_are_right(server: Server, pooled: str) -> None:
    def trade(client: int) -> None:
        with psycopg.connect(pooled, password=PASSWORD, prepare_threshold=None, autocommit=True) as conn:
            for number in range(TRANSACTIONS // CLIENTS):
                with conn.transaction():
                    insert = "insert into public.ledger values (%s, %s, %s, pg_backend_pid())"
                    conn.execute(insert, ["psycopg", client, number])
                    (answer,) = (
                        conn.execute("select %s::int * 1000 + %s::int", [client, number]).fetchone() or ()
                    )
                    assert answer == client * 1000 + number
                    mine = (
                        "select max(l.number) from public.ledger as l where l.driver = %s and l.client = %s"
                    )
                    assert conn.execute(mine, ["psycopg", client]).fetchone() == (number,)

    with ThreadPoolExecutor(CLIENTS) as threads:
        list(threads.map(trade, range(CLIENTS)))

    assert_all_is_right(server, "psycopg")


async def test_listen_is_accepted_and_never_delivers(server: Server, pooled: str) -> None:
    """Bus must detect this silence: a direct listener has heard the NOTIFY, the pooled one never does."""
    heard: dict[str, asyncio.Event] = {"pooled": asyncio.Event(), "direct": asyncio.Event()}
    through = await asyncpg.connect(pooled, password=PASSWORD, statement_cache_size=0)
    direct = await asyncpg.connect(server.url("postgres", "trader"), password=PASSWORD)
    await through.add_listener("news", lambda *_: heard["pooled"].set())
    await direct.add_listener("news", lambda *_: heard["direct"].set())

    do(server, "notify news")

    await asyncio.wait_for(heard["direct"].wait(), 5)
    await through.fetchval("select 1")  # everything sent before this answer has arrived
    assert not heard["pooled"].is_set()
    await asyncio.gather(through.close(), direct.close())


@pytest.fixture(params=["as shipped", "lenient"])
def any_pooler(
    request: pytest.FixtureRequest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """PgBouncer as shipped, and one configured to ignore startup parameters that it does not know."""
    if request.param == "lenient":
        shipped = pooler.shipped_file("pgbouncer.ini")
        changed = server.directory / "lenient.ini"
        ignored = "extra_float_digits, tcp_keepalives_idle, tcp_keepalives_interval, tcp_keepalives_count"
        changed.write_text(shipped.read_text().replace("= extra_float_digits", f"= {ignored}"))
        file = pooler.shipped_file
        monkeypatch.setattr(
            pooler, "shipped_file", lambda name: changed if name.endswith("ini") else file(name)
        )
    process = pooler.start(server)
    yield pooler.pooled_url(server, "postgres", "trader")
    process.terminate()
    process.wait()


async def test_the_bus_refuses_to_listen_through_it(any_pooler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    bus = Bus(Settings(database_url=any_pooler))

    with pytest.raises(BusError, match="not direct") as caught:
        await bus.start(["news"])

    assert "AEGIS_POOLED_URL" in (caught.value.hint or "")
    await bus.stop()


@pytest.mark.parametrize("password", ["wrong", "", None])
@pytest.mark.parametrize("user", ["trader", "postgres", "pgbouncer", "nobody"])
async def test_nobody_comes_through_without_the_right_password(
    server: Server, pooled: str, user: str, password: str | None
) -> None:
    """PgBouncer itself would accept an empty password from its auth_user, here the superuser."""
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await asyncpg.connect(
            pooler.pooled_url(server, "postgres", user), password=password, statement_cache_size=0
        )


def test_without_its_rules_it_lets_nobody_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooler, "CONFIG_FILES", ("pgbouncer.ini",))
    (server.socket_dir / "pgbouncer_hba.conf").unlink(missing_ok=True)
    process = pooler.start(server)

    for user in ("trader", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="login rejected"):
            psycopg.connect(pooler.pooled_url(server, "postgres", user), password=PASSWORD)

    process.terminate()
    process.wait()


def test_a_changed_password_counts_at_once(server: Server, pooled: str) -> None:
    do(server, "create role turncoat login password 'first'")
    address = pooler.pooled_url(server, "postgres", "turncoat")
    psycopg.connect(address, password="first", prepare_threshold=None).close()

    do(server, "alter role turncoat password 'second'")

    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address, password="first", prepare_threshold=None)
    psycopg.connect(address, password="second", prepare_threshold=None).close()


def test_a_login_made_later_needs_no_restart(server: Server, pooled: str) -> None:
    do(server, "create role newcomer login password 'new'")

    with psycopg.connect(pooler.pooled_url(server, "postgres", "newcomer"), password="new") as conn:
        assert conn.info.user == "newcomer"


@needs_root
def test_another_account_may_come_with_a_password(server: Server, pooled: str) -> None:
    def log_in() -> str:
        with psycopg.connect(pooled, password=PASSWORD) as conn:
            return conn.info.user

    assert as_account(OTHERS, log_in) == "trader"


def test_it_runs_as_the_servers_account_and_leaves_no_file_open(server: Server, pooled: str) -> None:
    for name in pooler.CONFIG_FILES:
        copied = (server.socket_dir / name).stat()

        assert copied.st_uid == server.account.uid
        assert stat.S_IMODE(copied.st_mode) == 0o600


def test_a_second_pooler_is_refused(server: Server, pooled: str) -> None:
    with pytest.raises(ServerError, match="already running"):
        pooler.start(server)


def test_a_socket_left_by_kill_9_is_no_obstacle(server: Server) -> None:
    killed = pooler.start(server)
    killed.kill()
    killed.wait()
    assert (server.socket_dir / f".s.PGSQL.{pooler.PORT}").exists()

    again = pooler.start(server)

    assert pooler.is_running(server)
    again.terminate()
    again.wait()


def test_a_server_on_another_port_is_refused_before_anything_starts() -> None:
    with scratch() as directory, start(directory / "server", port=0) as other:
        with pytest.raises(ServerError, match="expects 5432"):
            pooler.start(other)

        assert not (other.socket_dir / "pgbouncer.ini").exists()


def test_a_machine_without_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(ServerError, match="no pgbouncer") as caught:
        pooler.find_pgbouncer()

    assert "apt-get install pgbouncer" in (caught.value.hint or "")


def test_the_shipped_file_names_no_path_and_no_password() -> None:
    for name in pooler.CONFIG_FILES:
        lines = pooler.shipped_file(name).read_text().splitlines()
        settings = [line for line in lines if line and line[0] not in ";#"]

        assert not [
            line for line in settings if "/" in line or "password" in line.partition("rolpassword")[0]
        ]
