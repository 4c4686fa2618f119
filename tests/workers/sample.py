"""A worker that does the tasks of a table, for tests of the runtime: as a class, and as a process.

`python -m tests.workers.sample` runs it with the settings from the environment.
"""

from __future__ import annotations

import sys
from datetime import timedelta

from workers.runtime.checkpoints import checkpoint
from workers.runtime.worker import Worker

LOGIN = "aegis_w_router"
TABLE = """
create table api.todo (id int generated always as identity, task text not null, done_by int);
grant select, update, insert on api.todo to aegis_engine;
create function api.tg_todo() returns trigger language plpgsql as $$
    begin notify new_pick; return null; end $$;
create trigger notify_workers after insert on api.todo for each statement execute function api.tg_todo();
"""
CLAIM = """
update api.todo as t set done_by = pg_backend_pid()
where t.id = (select o.id from api.todo as o where o.done_by is null order by o.id limit 1)
returning t.task
"""


class Sample(Worker):
    name = "router"  # as its login
    channels = ("new_pick",)
    poll = timedelta(milliseconds=200)

    async def drain(self) -> int:
        task = await self.db.fetchval(CLAIM)
        if task is None:
            return 0
        await checkpoint("sample.claimed")
        if task == "fail":
            raise ValueError("the task says so")
        if task == "refuse":
            await self.db.execute("do $$ begin raise 'no' using errcode = 'TRQ01'; end $$")
        return 1

    async def release(self) -> None:
        await self.db.execute("insert into api.todo (task, done_by) values ('released', 0)")


if __name__ == "__main__":
    from workers.runtime import process, registry

    registry.WORKERS["sample"] = "tests.workers.sample:Sample"
    sys.exit(process.run("sample"))
