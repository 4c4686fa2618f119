"""Create roles and logins, and restrict who may connect to a database.

Roles belong to the whole server and several databases share them, so everything here only adds what is
missing, and two processes that start at once end in the same state.  The grants in `sql/` say what a role
may do.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from psycopg import errors, sql

from cli.database import limits, role_settings, secrets
from cli.database.catalog import Connection
from cli.database.errors import DatabaseError

OWNER = "aegis_owner"
DESK = role_settings.DESK
GROUPS = (
    OWNER,
    "aegis_operator",
    "aegis_strategy",
    "aegis_feed",
    "aegis_engine",
    "aegis_executor",
    "aegis_supervisor",
    "aegis_viewer",
)
LOGINS: Mapping[str, tuple[str, ...]] = {
    DESK: ("aegis_operator", "aegis_viewer"),
    "aegis_w_price_sync": ("aegis_feed",),
    "aegis_w_router": ("aegis_engine",),
    "aegis_w_exits": ("aegis_engine",),
    "aegis_w_risk": ("aegis_engine",),
    "aegis_w_scheduler": ("aegis_engine",),
    "aegis_w_supervisor": ("aegis_engine", "aegis_supervisor", "aegis_viewer"),
    "aegis_w_execution": ("aegis_executor",),
    "aegis_w_reconcile": ("aegis_executor",),
}
# Logins that type override codes.  The server logs none of their statements, whether they succeed or fail.
# An error message can contain a code as well, so errors are not logged either; ended sessions still are.
TYPES_SECRETS = ("aegis_desk",)
SILENT = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_duration": "off",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
STRATEGY_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

# Errors that two processes starting at once can cause each other; the one that fails only has to retry.
_RACES = (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_, errors.SerializationFailure)
_ATTEMPTS = 8


def ensure_roles(conn: Connection) -> None:
    """Create the group roles: the owner of all objects, and those that the grants name."""
    _retrying(conn, lambda: _ensure_groups(conn))


def ensure_logins(conn: Connection, secrets_dir: Path, logins: Mapping[str, Iterable[str]] = LOGINS) -> None:
    """Create these logins with memberships, passwords and settings; their search_path here is `api`."""
    passwords = {login: secrets.ensure_password(login, secrets_dir) for login in logins}

    def ensure() -> None:
        for login, groups in logins.items():
            _ensure_login(conn, login, groups, passwords[login])
        limits.limit_logins(conn)
        _execute(conn, _home_statements(conn.info.dbname, logins))
        _execute(conn, role_settings.statements(conn, logins))
        for login in TYPES_SECRETS:
            if login in logins:
                _keep_out_of_the_log(conn, login)

    _retrying(conn, ensure)


def ensure_strategy_login(conn: Connection, strategy_name: str, secrets_dir: Path) -> str:
    """Create the login of one strategy, which may only propose and read; return its name."""
    if not STRATEGY_NAME.fullmatch(strategy_name):
        raise DatabaseError(
            f"{strategy_name!r} cannot be the name of a strategy",
            hint="Use lowercase letters, digits and _, at most 40, beginning with a letter.",
        )
    login = f"aegis_s_{strategy_name}"
    ensure_logins(conn, secrets_dir, {login: ("aegis_strategy",)})
    return login


def secure_database(conn: Connection) -> None:
    """Let only our roles connect to this database, and revoke what PostgreSQL grants to PUBLIC by default."""

    def secure() -> None:
        _execute(conn, [*_door_statements(conn.info.dbname), _INSIDE.encode()])
        if _is_superuser(conn):
            _execute(conn, [_CATALOG.encode()])
        limits.close_databases(conn)

    _retrying(conn, secure)


def secure_copy(conn: Connection, database: str) -> None:
    """Grant and set on a copy of a secured database what `create database ... template` does not copy."""
    logins = [name for name in _roles(conn) if name in LOGINS or name.startswith("aegis_s_")]
    with conn.transaction():
        _execute(conn, [*_door_statements(database), *_home_statements(database, logins)])


_INSIDE = f"""
revoke all on schema public from public;
alter default privileges for role {OWNER} revoke execute on functions from public;
alter default privileges for role {OWNER} revoke usage on types from public
"""

# Revoke the functions that use up what the whole server shares: locks, large objects, exported snapshots,
# WAL, transaction ids.  Our functions that need one run as aegis_owner.  asyncpg's default reset of a
# connection would need one too (pg_advisory_unlock_all); it is not used.
_CATALOG = """
do $$
declare
    v_function regprocedure;
begin
    for v_function in
        select p.oid
        from pg_catalog.pg_proc as p
        where p.pronamespace = 'pg_catalog'::regnamespace
          and (
              p.proname ~ '^(pg_advisory|pg_try_advisory|lo_)'
              or p.proname in (
                  'loread', 'lowrite', 'pg_export_snapshot', 'pg_logical_emit_message', 'pg_current_xact_id',
                  'txid_current'
              )
          )
    loop
        execute format(
            'revoke execute on function %s from public, aegis_feed, aegis_engine, aegis_executor', v_function
        );
        if v_function::text ~ 'advisory|pg_current_xact_id' then
            execute format('grant execute on function %s to aegis_owner', v_function);
        end if;
    end loop;
end;
$$
"""


def _door_statements(database: str) -> list[sql.Composed]:
    name = sql.Identifier(database)
    groups = sql.SQL(", ").join(map(sql.Identifier, GROUPS))
    return [
        sql.SQL("revoke all on database {} from public").format(name),
        sql.SQL("grant connect on database {} to {}").format(name, groups),
        sql.SQL("grant create on database {} to {}").format(name, sql.Identifier(OWNER)),
    ]


def _home_statements(database: str, logins: Iterable[str]) -> list[sql.Composed]:
    statement = sql.SQL("alter role {} in database {} set search_path = api")
    return [statement.format(sql.Identifier(login), sql.Identifier(database)) for login in logins]


def _ensure_groups(conn: Connection) -> None:
    existing = _roles(conn)
    for role in GROUPS:
        if role not in existing:
            conn.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
    if not _has_privileges_of(conn, OWNER):  # creating a role only gives the right to grant it
        conn.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(OWNER)))
    # A mode change and the watcher look at all sessions and end those in the way.  The administrator of a
    # managed server may be unable to grant that; then these sessions must end by themselves.
    for role in ("pg_signal_backend", "pg_read_all_stats"):
        if not _is_member(conn, OWNER, role):
            with contextlib.suppress(errors.InsufficientPrivilege), conn.transaction():
                conn.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(OWNER)))
    limits.reserve_connections(conn)


def _ensure_login(conn: Connection, login: str, groups: Iterable[str], password: str) -> None:
    name = sql.Identifier(login)
    if login not in _roles(conn):
        conn.execute(sql.SQL("create role {} login").format(name))
    for group in groups:
        if not _is_member(conn, login, group):
            conn.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), name))
    if not _has_password(conn, login, password):
        verifier = conn.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
        statement = sql.SQL("alter role {} login password {}")
        conn.execute(statement.format(name, sql.Literal(verifier.decode())))


def _keep_out_of_the_log(conn: Connection, login: str) -> None:
    """Turn logging off for a login.  Needs a superuser: a managed server may log what people type."""
    row = conn.execute(
        "select setconfig from pg_db_role_setting where setdatabase = 0 and setrole = to_regrole(%s)", [login]
    ).fetchone()
    already = row[0] if row else []
    with contextlib.suppress(errors.InsufficientPrivilege), conn.transaction():
        for name, value in SILENT.items():
            if f"{name}={value}" not in already:
                statement = sql.SQL("alter role {} set {} = {}")
                conn.execute(
                    statement.format(sql.Identifier(login), sql.Identifier(name), sql.Literal(value))
                )


def _has_password(conn: Connection, login: str, password: str) -> bool:
    """Whether the login already has this password; False unless we are a superuser, who alone can check."""
    if not _is_superuser(conn):
        return False
    row = conn.execute("select rolpassword from pg_authid where rolname = %s", [login]).fetchone()
    return row is not None and secrets.matches(password, row[0])


def _retrying(conn: Connection, work: Callable[[], None]) -> None:
    """Run `work` in its own transaction; retry when another starting process got there first."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with conn.transaction():
                return work()
        except _RACES:
            if attempt == _ATTEMPTS:
                raise
    return None


def _execute(conn: Connection, statements: Iterable[sql.Composed | bytes]) -> None:
    parts = [part if isinstance(part, bytes) else part.as_bytes(conn) for part in statements]
    if parts:
        conn.execute(b";\n".join(parts), prepare=False)


def _roles(conn: Connection) -> set[str]:
    return {name for (name,) in conn.execute("select rolname from pg_roles where rolname ^@ 'aegis_'")}


def _is_member(conn: Connection, member: str, group: str) -> bool:
    """Whether membership was granted; a superuser, who counts as a member of every role, is not enough."""
    row = conn.execute(
        """
        select exists (
            select from pg_auth_members
            where roleid = to_regrole(%s) and member = to_regrole(%s)
        )
        """,
        [group, member],
    ).fetchone()
    return row is not None and bool(row[0])


def _has_privileges_of(conn: Connection, role: str) -> bool:
    row = conn.execute("select pg_has_role(current_user, %s, 'USAGE')", [role]).fetchone()
    return row is not None and bool(row[0])


def _is_superuser(conn: Connection) -> bool:
    return conn.info.parameter_status("is_superuser") == "on"
