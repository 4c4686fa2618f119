"""A deployment wakes the workers to see its lock, but only a heavy one."""

from concurrent.futures import ThreadPoolExecutor

HELD = """
select count(*) from pg_locks
where locktype = 'advisory' and objid = 11428176
  and database = (select oid from pg_database where datname = current_database())
"""


def test_workers_are_woken_to_see_its_lock_only_when_it_gets_heavy(shop, pg_server):
    """Workers check the lock, so it is taken before they are notified."""
    shop.deploy()
    with pg_server.connect(shop.conn.info.dbname) as listener, ThreadPoolExecutor(1) as pool:
        listener.execute("listen command")
        shop.code("'a '", "'an '")
        shop.deploy()
        assert list(listener.notifies(timeout=0)) == []

        shop.migration("0002_more.sql", "alter table shop.items add column more text;")
        with listener.transaction():
            listener.execute("lock table shop.items in access share mode")
            deployed = pool.submit(shop.deploy)
            with pg_server.connect(shop.conn.info.dbname) as other:
                while not other.execute(HELD).fetchone()[0]:
                    pass
        deployed.result(20)

        (notification,) = listener.notifies(timeout=10, stop_after=1)
        assert notification.payload == ""
        assert listener.execute(HELD).fetchone() == (0,)
