"""Write rows with every trigger and foreign key disabled, which only a superuser can do.

Our own triggers fire under session_replication_role = replica as well, so they are disabled table by table.
We cannot enable the triggers of foreign keys always, so that setting disables them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg

from cli.database.files import sql_dir

Connection: TypeAlias = psycopg.Connection[Any]

SWITCH = """
do $switch$
declare
    v_table regclass;
begin
    for v_table in
        select distinct t.tgrelid::regclass
        from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
        where pg_get_userbyid(c.relowner) = 'aegis_owner' and c.relkind in ('r', 'p') and not t.tgisinternal
    loop
        execute format('alter table %s {how} trigger user', v_table);
    end loop;
end
$switch$
"""
OFF = SWITCH.format(how="disable") + "; set session_replication_role = replica;"
ON = SWITCH.format(how="enable") + ";" + (sql_dir() / "95_always_triggers.sql").read_text()
ON += "; set session_replication_role = origin"


@contextmanager
def triggers_off(db: Connection) -> Iterator[Connection]:
    """Disable them for all sessions of this database until the end of the block."""
    db.execute(OFF.encode())
    try:
        yield db
    finally:
        db.execute(ON.encode())
