"""The second wall between tenants: row-level security for what the gateway does for one.

A transaction of `Catalog.as_tenant` takes the role `GATEWAY_ROLE` and names its tenant
in ``app.tenant_id``; PostgreSQL then shows and takes no row of another, whatever the
query forgot. The login role, which owns the tables, is not held by it.

Laws:

* Every table with a ``tenant_id`` is guarded by the migration that makes it; a test
  names one that is not.
* With no tenant named, nothing is visible.
"""

from collections.abc import Sequence
from uuid import UUID

from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection as Db
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from connectors.errors import ConfigError
from sync_pipelines.catalog.tables import SCHEMA

GATEWAY_ROLE = "sync_gateway"
"""One role for all databases of a server; it may not log in."""

EVERYTHING = ("SELECT", "INSERT", "UPDATE", "DELETE")

_MAKE_ROLE = f"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{GATEWAY_ROLE}') THEN
        CREATE ROLE {GATEWAY_ROLE} NOLOGIN;
    END IF;
EXCEPTION
    -- The migration of another database of this server was first.
    WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""

# Since PostgreSQL 16 being a member and being able to act as the role are two things.
_JOIN_ROLE = f"""
DO $$
DECLARE
    separate CONSTANT boolean := current_setting('server_version_num')::int >= 160000;
    may CONSTANT text := CASE WHEN separate THEN 'SET' ELSE 'MEMBER' END;
    how CONSTANT text := CASE WHEN separate THEN ' WITH INHERIT FALSE, SET TRUE' ELSE '' END;
BEGIN
    IF NOT pg_has_role(current_user, '{GATEWAY_ROLE}', may) THEN
        EXECUTE format('GRANT {GATEWAY_ROLE} TO %I', current_user) || how;
    END IF;
EXCEPTION
    WHEN unique_violation THEN NULL;
END $$
"""

_CURRENT_TENANT = f"""
CREATE FUNCTION {SCHEMA}.current_tenant() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid $$
"""


def make_role(db: Db) -> None:
    """Make the role, and let the login role act as it; `ConfigError` says who else can."""
    login = db.execute(text("SELECT current_user")).scalar_one()
    try:
        db.execute(text(_MAKE_ROLE))
        db.execute(text(_JOIN_ROLE))
    except ProgrammingError as error:
        if isinstance(error.orig, InsufficientPrivilege):
            raise _not_allowed(login) from error
        raise
    db.execute(text(_CURRENT_TENANT))
    db.execute(text(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {GATEWAY_ROLE}"))


def guard(
    db: Db, table: str, *, column: str = "tenant_id", rights: Sequence[str] = EVERYTHING
) -> None:
    """Let the gateway's role at a tenant's rows of a table, and at no others.

    To be called by the migration that makes the table.
    """
    own = f"{column} = {SCHEMA}.current_tenant()"
    for statement in (
        f"ALTER TABLE {SCHEMA}.{table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY own_tenant ON {SCHEMA}.{table} TO {GATEWAY_ROLE} "
        f"USING ({own}) WITH CHECK ({own})",
        f"GRANT {', '.join(rights)} ON {SCHEMA}.{table} TO {GATEWAY_ROLE}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {SCHEMA} TO {GATEWAY_ROLE}",
    ):
        db.execute(text(statement))


def release(db: Db, table: str) -> None:
    """Undo `guard`."""
    for statement in (
        f"REVOKE ALL ON {SCHEMA}.{table} FROM {GATEWAY_ROLE}",
        f"DROP POLICY own_tenant ON {SCHEMA}.{table}",
        f"ALTER TABLE {SCHEMA}.{table} DISABLE ROW LEVEL SECURITY",
    ):
        db.execute(text(statement))


def enter(db: Db, tenant_id: UUID) -> None:
    """Be the gateway on behalf of a tenant, until the transaction ends."""
    db.execute(_ENTER, {"role": GATEWAY_ROLE, "tenant": str(tenant_id)})


_ENTER = text("SELECT set_config('app.tenant_id', :tenant, true), set_config('role', :role, true)")


def check_role(db: Db) -> None:
    """`ConfigError`, with the remedy, if the login role may not act as the gateway's."""
    login = db.execute(text("SELECT session_user")).scalar_one()
    try:
        db.execute(text("SELECT set_config('role', :role, true)"), {"role": GATEWAY_ROLE})
    except DBAPIError as error:  # of several kinds: no such role, not a member
        raise _not_allowed(login) from error


def _not_allowed(login: str) -> ConfigError:
    return ConfigError(
        f"the database user {login!r} may not make the role {GATEWAY_ROLE!r} or act as it, by "
        "which tenants are kept apart; let an administrator of the server run, once: "
        f'CREATE ROLE {GATEWAY_ROLE} NOLOGIN; GRANT {GATEWAY_ROLE} TO "{login}";'
    )
