"""The settings of all our sessions, whatever the server, the database or a hosting provider configures.

The operator of a server may change any default, but some of our rules depend on them: with `jit = on`,
PostgreSQL's own default, a claim took longer than an order may wait, and no order was ever sent.  So all
these settings are set on each login role, which takes precedence over server and database.  They are
PostgreSQL's defaults except where a comment gives the reason.
"""

from __future__ import annotations

from collections.abc import Mapping

SETTINGS: Mapping[str, str] = {
    # timeouts
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "1min",  # a fallback: the watcher ends such sessions sooner
    # transactions
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",  # only price_sync turns it off, for prices
    "session_replication_role": "origin",
    # query planning
    "jit": "off",  # our statements are short: compiling takes longer than running them
    "plan_cache_mode": "auto",
    "work_mem": "4MB",
    "hash_mem_multiplier": "2",
    "max_parallel_workers_per_gather": "0",  # starting a parallel worker takes longer than our statements
    "force_parallel_mode": "off",
    "debug_parallel_query": "off",
    "from_collapse_limit": "8",
    "join_collapse_limit": "8",
    "geqo": "on",
    "geqo_threshold": "12",
    "constraint_exclusion": "partition",
    "cursor_tuple_fraction": "0.1",
    "recursive_worktable_factor": "10",
    # input and output formats
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
    # other settings that can stop a statement or hide its messages
    "row_security": "on",
    "exit_on_error": "off",
    "ignore_checksum_failure": "off",
    "zero_damaged_pages": "off",
    "client_min_messages": "notice",
    "log_parameter_max_length_on_error": "0",  # else error contexts show arguments, and the log secrets
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "plpgsql.variable_conflict": "error",
    "plpgsql.extra_errors": "none",
    "plpgsql.check_asserts": "on",
}
"""Every session setting that one of our rules, query plans or deadlines depends on."""

OF_PROCESSES: Mapping[str, str] = {"timezone": "UTC"}
"""For processes only: people see times in the time zone of the server or of PGTZ."""

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
"""Query for the settings that this server knows and this login may set, and every planner switch enable_*."""


def pins(names: str, values: str) -> str:
    """The query PINS with the driver's placeholders for its two parameters: names and values of SETTINGS."""
    return PINS.format(names=names, values=values)


def pin(names: str, values: str) -> str:
    """A query that sets them in this session: for an administrator, whose role we must not change."""
    return f"select set_config(p.name, p.value, false) from ({pins(names, values)}) as p"  # noqa: S608
