"""Strategies run as their rows say, while processor and memory last."""

from tests.workers.supervisor.supervisor_kit import MOMENTUM, STRATEGIES, row, until


async def test_strategies_run_as_their_rows_say_from_one_moment_to_the_next(
    db, login, supervise, add_strategy
):
    add_strategy("one")
    supervise()
    await row(db, STRATEGIES, ["strategy.one"])

    add_strategy("two")
    await row(db, STRATEGIES, ["strategy.one", "strategy.two"])
    login("aegis_desk").execute("select stop_strategy('one')")

    await row(db, STRATEGIES, ["strategy.two"])
    assert db.execute(
        "select login from api.workers where is_alive and name like 'strategy%'"
    ).fetchone() == ("aegis_s_two",)


async def test_on_a_busy_machine_new_strategies_wait(db, supervise, add_strategy, caplog):
    add_strategy("one")
    supervisor = supervise()
    supervisor.cpu_used = 0.97
    await until(lambda: "strategy.one waits: the processor is 97% busy" in caplog.text)
    assert supervisor.children == {}
    reason = await row(db, "select waits_for from api.strategies where waits_for is not null")
    assert reason == "the processor is 97% busy, the most is 95%"

    supervisor.cpu_used = 0.5

    await row(db, STRATEGIES, ["strategy.one"])
    await row(db, "select count(*) from strategy.waits", 0)


async def test_when_memory_runs_out_the_longest_idle_strategy_makes_room(db, supervise, add_strategy):
    add_strategy("busy")
    add_strategy("lazy")
    supervisor = supervise()
    await row(db, STRATEGIES, ["strategy.busy", "strategy.lazy"])
    await row(db, "select count(*) from api.workers where login like 'aegis_s_%' and detail <> '{}'", 2)
    supervisor.work = {"strategy.busy": (-1, 0.0), "strategy.lazy": (0, 0.0)}  # only busy's count changes

    supervisor.memory = 0.9
    supervisor.wake.set()
    await row(db, STRATEGIES, ["strategy.busy"])
    assert await row(db, "select subject from api.incidents where kind = 'memory'") == "strategy.lazy"
    assert "strategy.lazy" not in supervisor.children

    supervisor.memory = 0.5
    supervisor.wake.set()
    await row(db, STRATEGIES, ["strategy.busy", "strategy.lazy"])


async def test_a_strategy_that_crashed_out_starts_again_when_its_row_is_restarted(
    db, login, supervise, add_strategy
):
    add_strategy("one", "no.such.module:Strategy")
    supervise()
    await row(db, "select subject from api.incidents where kind = 'crash_loop'", "strategy.one")
    desk = login("aegis_desk")

    desk.execute("select stop_strategy('one')")
    db.execute("update strategy.strategies set class = %s", [MOMENTUM])
    desk.execute("select start_strategy('one')")

    await row(db, STRATEGIES, ["strategy.one"])
