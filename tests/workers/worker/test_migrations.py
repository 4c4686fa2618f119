"""A worker waits while a migration holds its lock, but not for ever."""

from tests.workers.worker.worker_kit import DONE, idle, until, until_true

MIGRATOR = "select pg_advisory_lock(11428176)"  # the lock that cli/database/migrate.py holds


async def test_it_waits_while_a_migration_holds_its_lock(db, todo, work, pg_server, database):
    worker, _ = work(poll=False)
    await idle(worker)
    with pg_server.connect(database) as migrator:
        migrator.execute(MIGRATOR)
        db.execute("notify command")
        await until_true(lambda: not worker.bus._heard_on and not worker._suspects_migration)
        await until(
            db,
            "select count(*) > 0 from pg_stat_activity where query like '%migration_is_running%'"
            " and application_name = 'aegis router'",
        )
        drains = worker.drains

        todo("a")
        await until_true(lambda: "new_pick" in worker.bus._heard_on)

        assert worker.drains == drains
    await until(db, DONE, 1)


async def test_a_migration_that_never_ends_does_not_stop_work(
    db, todo, work, monkeypatch, pg_server, database
):
    monkeypatch.setattr("workers.runtime.worker.MIGRATION", 0.2)
    worker, _ = work(poll=False)
    await idle(worker)
    with pg_server.connect(database) as migrator:
        migrator.execute(MIGRATOR)
        db.execute("notify command")

        todo("a")

        await until(db, DONE, 1)
