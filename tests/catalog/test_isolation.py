"""The second wall: what PostgreSQL refuses even where a query forgets its tenant."""

import subprocess
import sys
from datetime import UTC, date, datetime
from itertools import count
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import insert, make_url, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import ProgrammingError

from connectors.errors import ConfigError
from sync_pipelines.catalog import audit, isolation
from sync_pipelines.catalog.tables import Base, TenantRow
from tests.world import START, World, make_catalog

TABLES = Base.metadata.sorted_tables
OF_TENANTS = [table for table in TABLES if "tenant_id" in table.c or table.name == "tenants"]
OF_NOBODY = [table for table in TABLES if table not in OF_TENANTS]
ACME, RIVAL = UUID(int=1), UUID(int=2)
NUMBERS = count(1)
MIGRATE = "import sys; from tests.world import make_catalog; make_catalog(sys.argv[1]).close()"


def owner_column(table):
    return table.c.id if table.name == "tenants" else table.c.tenant_id


def some_value(column):
    if isinstance(column.type, JSONB):
        return {}
    kind = column.type.python_type
    number = next(NUMBERS)
    return {
        UUID: uuid4,
        str: lambda: f"text {number}",
        int: lambda: number,
        bool: lambda: True,
        float: lambda: float(number),
        bytes: lambda: b"bytes",
        list: lambda: [number],
        datetime: lambda: datetime(2026, 1, 1, tzinfo=UTC),
        date: lambda: date(2026, 1, 1),
    }[kind]()


def a_row(table, tenant_id):
    row = {column.name: some_value(column) for column in table.c}
    return {**row, owner_column(table).name: tenant_id}


@pytest.fixture(scope="module")
def catalog(postgres_url):
    """Every table with one row of each of two tenants; what a row must look like is not asked."""
    catalog = make_catalog(postgres_url)
    with catalog.begin() as db:
        checks = db.execute(
            text(
                "SELECT conrelid::regclass::text, quote_ident(conname) FROM pg_constraint "
                "WHERE contype = 'c' AND connamespace = 'sync'::regnamespace"
            )
        )
        for table, check in checks.all():
            db.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {check}"))
        db.execute(text("SET LOCAL session_replication_role = replica"))  # no foreign keys
        for table in OF_TENANTS:
            db.execute(insert(table), [a_row(table, ACME), a_row(table, RIVAL)])
    yield catalog
    catalog.close()


def named(table):
    return table.name


@pytest.mark.parametrize("table", OF_TENANTS, ids=named)
def test_a_query_that_forgets_its_tenant_sees_only_that_tenants_rows(catalog, table):
    """R127."""
    with catalog.as_tenant(ACME).begin() as db:
        owners = list(db.scalars(select(owner_column(table))))

    assert owners == [ACME]


@pytest.mark.parametrize("table", OF_TENANTS, ids=named)
def test_a_row_of_another_tenant_cannot_be_written(catalog, table):
    """R127."""
    with pytest.raises(ProgrammingError), catalog.as_tenant(ACME).begin() as db:
        db.execute(insert(table).values(a_row(table, RIVAL)).inline())


@pytest.mark.parametrize("table", OF_TENANTS, ids=named)
def test_a_change_that_forgets_its_tenant_reaches_no_row_of_another(catalog, table):
    """R127. What may not be changed at all is refused."""
    column = next(c for c in table.c if c.name not in ("id", "tenant_id") and not c.primary_key)
    try:
        with catalog.as_tenant(ACME).begin() as db:
            reached = db.execute(update(table).values({column.name: column})).rowcount
    except ProgrammingError:
        reached = 1

    assert reached == 1


@pytest.mark.parametrize("table", OF_TENANTS, ids=named)
def test_a_row_cannot_be_given_to_another_tenant(catalog, table):
    with pytest.raises(ProgrammingError), catalog.as_tenant(ACME).begin() as db:
        db.execute(update(table).values({owner_column(table).name: RIVAL}))


@pytest.mark.parametrize("table", OF_TENANTS, ids=named)
def test_with_no_tenant_named_nothing_is_visible(catalog, table):
    with catalog.begin() as db:
        db.execute(text("SET LOCAL ROLE sync_gateway"))

        assert db.execute(select(owner_column(table))).all() == []


@pytest.mark.parametrize("table", OF_NOBODY, ids=named)
def test_what_belongs_to_no_tenant_is_closed_to_all_of_them(catalog, table):
    refused = pytest.raises(ProgrammingError, match="permission denied")

    with refused, catalog.as_tenant(ACME).begin() as db:
        db.execute(select(table))


def test_the_next_transaction_of_a_connection_is_nobodys(catalog):
    with catalog.as_tenant(ACME).begin():
        pass
    with catalog.begin() as db:
        seen = db.execute(select(TenantRow.id)).all()
        tenant = db.scalar(text("SELECT current_setting('app.tenant_id', true)"))

    assert len(seen) == 2
    assert not tenant


def test_the_audit_of_a_tenant_can_be_added_to_and_not_be_changed(catalog):
    """R133."""
    tenant = catalog.as_tenant(ACME)

    for statement in ("UPDATE sync.audit_log SET actor = 'nobody'", "DELETE FROM sync.audit_log"):
        with pytest.raises(ProgrammingError, match="permission denied"), tenant.begin() as db:
            db.execute(text(statement))


def test_the_databases_of_one_server_can_be_migrated_at_the_same_time(postgres_server):
    """They share their roles."""
    names = [f"sync_test_together_{number}_{uuid4().hex[:8]}" for number in range(4)]
    server = make_url(postgres_server)
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        for name in names:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        urls = [server.set(database=name).render_as_string(hide_password=False) for name in names]
        try:
            migrating = [subprocess.Popen([sys.executable, "-c", MIGRATE, url]) for url in urls]
            codes = [process.wait(timeout=60) for process in migrating]
        finally:
            for name in names:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    assert codes == [0, 0, 0, 0]


@pytest.fixture
def plain_user(empty_postgres_url):
    """The URL of a database that a user without any privilege of the server owns."""
    user = f"sync_test_{uuid4().hex[:12]}"
    url = make_url(empty_postgres_url)
    with psycopg.connect(empty_postgres_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(user)))
        admin.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                sql.Identifier(url.database), sql.Identifier(user)
            )
        )
        yield url.set(username=user).render_as_string(hide_password=False)
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(user)))
        for statement in ("ALTER DATABASE {1} OWNER TO CURRENT_USER", "DROP ROLE {0}"):
            admin.execute(
                sql.SQL(statement).format(sql.Identifier(user), sql.Identifier(url.database))
            )


def test_a_login_that_may_not_act_as_the_role_is_told_who_must_do_what(plain_user):
    with pytest.raises(ConfigError, match="GRANT sync_gateway TO"):
        make_catalog(plain_user)


def test_a_login_that_was_granted_the_role_needs_no_privilege_of_the_server(
    plain_user, empty_postgres_url
):
    """R127, with a login that row-level security could hold: it owns the tables."""
    user = make_url(plain_user).username
    with psycopg.connect(empty_postgres_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("GRANT {} TO {}").format(
                sql.Identifier(isolation.GATEWAY_ROLE), sql.Identifier(user)
            )
        )
    catalog = make_catalog(plain_user)
    sync, other = World(catalog).sync("acme/orders"), World(catalog).sync("rival/orders")

    with catalog.begin() as db:
        everyone = set(db.scalars(select(TenantRow.name)))
    with catalog.as_tenant(sync.tenant_id).begin() as db:
        own = set(db.scalars(select(TenantRow.name)))
        audit.record(db, at=START, actor="a", action="b", subject="c", tenant_id=sync.tenant_id)
    catalog.close()

    assert (everyone, own) == ({"acme", "rival"}, {"acme"})
    assert other.tenant_id != sync.tenant_id
