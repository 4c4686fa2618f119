"""Heartbeats and outages as workers report them."""

import datetime as dt

RECORD = "select record_outage(%s, %s, %s, %s, %s)"
WORKER = "select * from workers where worker_id = %s"
HEALTH = "select subject, problem from health order by subject"
BEAT = "select heartbeat(%s, 'running', '{\"drains\": 1}')"
READ_ONLY = "the database is read-only"


def seconds(number):
    return dt.timedelta(seconds=number)


def report(kit, station, number, ago, lasted, reason=READ_ONLY):
    return kit.call(station, RECORD, number, seconds(ago), seconds(lasted), 20, reason)
