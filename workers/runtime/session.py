"""What a session of ours is like, whatever the server, the database or a provider says.

A setting that is only a default belongs to whoever runs the server, until a rule depends on it: with
`jit = on`, PostgreSQL's own default, a claim took longer than an order may wait, and none was ever sent.
So each login has all of these by its role, which beats the server and the database.  They are PostgreSQL's
defaults but where a comment says why not.
"""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS: Mapping[str, str] = {
    # how long anything may take
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "1min",  # where no watcher runs, which ends such a session sooner
    # what a transaction is
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",  # price_sync turns it off for prices, and only there
    "session_replication_role": "origin",
    # how statements are planned
    "jit": "off",  # ours are short: compiling them takes longer than running them
    "plan_cache_mode": "auto",
    "work_mem": "4MB",
    "hash_mem_multiplier": "2",
    "max_parallel_workers_per_gather": "0",  # starting a process takes longer than ours run
    "force_parallel_mode": "off",
    "debug_parallel_query": "off",
    "from_collapse_limit": "8",
    "join_collapse_limit": "8",
    "geqo": "on",
    "geqo_threshold": "12",
    "constraint_exclusion": "partition",
    "cursor_tuple_fraction": "0.1",
    "recursive_worktable_factor": "10",
    # what text means, both ways
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "lc_numeric": "C",
    "lc_monetary": "C",
    "lc_time": "C",
    # what else may stop a statement, or hide what it says
    "row_security": "on",
    "exit_on_error": "off",
    "ignore_checksum_failure": "off",
    "zero_damaged_pages": "off",
    "client_min_messages": "notice",
    "log_parameter_max_length_on_error": "0",  # else arguments reach the call stack, and secrets the log
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "plpgsql.variable_conflict": "error",
    "plpgsql.extra_errors": "none",
    "plpgsql.check_asserts": "on",
}
"""Every setting of a session that a rule, a plan or a deadline of ours depends on."""

OF_PROCESSES: Mapping[str, str] = {"timezone": "UTC"}
"""For processes alone: a person sees times in the zone that the server or PGTZ says."""

PINS = """
select s.name, coalesce(p.value, s.boot_val) as value
from pg_catalog.pg_settings as s
left join (
    select unnest({names}::text[]) as name, unnest({values}::text[]) as value
) as p on p.name = lower(s.name)
where (p.name is not null or (starts_with(s.name, 'enable_') and starts_with(s.category, 'Query Tuning')))
  and (
      s.context = 'user'
      or (s.context = 'superuser' and current_setting('is_superuser') = 'on')
  )
order by s.name
"""
"""Those that this server knows and this login may set; every switch of the planner is among them."""


def pins(names: str, values: str) -> str:
    """The query, with the driver's own names of its two parameters: names, and values, of SETTINGS."""
    return PINS.format(names=names, values=values)


def pin(names: str, values: str) -> str:
    """Sets them in this session: for an administrator, whose role is not ours to change."""
    return f"select set_config(p.name, p.value, false) from ({pins(names, values)}) as p"  # noqa: S608
