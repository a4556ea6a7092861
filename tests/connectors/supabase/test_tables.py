"""Tables and columns that who owns the project makes: what is missing or does not fit is told."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pytest

from connectors import registry
from connectors.arrow import Logical, field
from connectors.contract import Batch, Deletes, Destination, Rejection
from connectors.errors import ConfigError
from connectors.rejected import read_rejected
from connectors.schema_policy import SchemaPolicy
from connectors.testing.fake_api import FakeApi
from connectors.testing.rows import row, table
from connectors.testing.writing import UPSERT, put, seen, state, stored, writing
from tests.providers.postgrest import KEY, Project
from tests.providers.supabase import ORDERS


@pytest.fixture
def destination(api: FakeApi) -> Iterator[Destination]:
    """For which nobody makes tables."""
    config = {"url": api.url, "key": KEY, "allow_private_addresses": True}
    with closing(registry.get("supabase").open_destination(config)) as destination:
        yield destination


def obey(project: Project, refusal: BaseException, begins: str) -> None:
    """Run the statement that a refusal tells."""
    told = str(refusal)
    start = told.index(begins)
    project.run(told[start : told.index(";", start)])


def test_a_table_that_is_missing_is_told_with_its_columns(project, destination):
    with pytest.raises(ConfigError, match=r"shop\.orders .* id, changed_at, note"):
        put(destination, UPSERT, row(1))


def test_a_missing_state_table_is_told_with_the_statement_that_makes_it(project, destination):
    project.run(ORDERS.format("shop.") + "; DROP TABLE shop._sync_state")

    with pytest.raises(ConfigError, match=r"create table shop\._sync_state") as told:
        put(destination, UPSERT, row(1))
    obey(project, told.value, "create table")
    put(destination, UPSERT, row(1))

    with project.connect() as connection:
        assert connection.execute("SELECT id FROM shop.orders").fetchall() == [(1,)]


def test_a_missing_table_of_rejected_records_is_told_with_the_statement_that_makes_it(system):
    """R65: nothing was sent, and the state has not moved past the record."""
    system.project.run("DROP TABLE shop._rejected")
    bad = Rejection(key="7", reason="no 'number'", payload="{}")
    batch = Batch(data=table(row(1)), rejected=(bad,))
    with closing(system.open()) as destination:
        with writing(destination, UPSERT) as writer:
            writer.write(batch)
            with pytest.raises(ConfigError, match=r"create table shop\._rejected") as told:
                writer.commit(state("one"), finished=True)
        nothing = list(system.project.writes)

        obey(system.project, told.value, "create table")
        with writing(destination, UPSERT) as writer:
            writer.write(batch)
            writer.commit(state("one"), finished=True)

        [kept] = read_rejected(destination, "shop", owner=UPSERT.owner)

    assert nothing == []
    assert (kept.key, kept.reason, stored(system)) == ("7", "no 'number'", [row(1)])


def test_a_project_without_a_table_of_rejected_records_is_written_while_none_is_rejected(system):
    system.project.run("DROP TABLE shop._rejected")
    whole = replace(UPSERT, complete=True, deletes=Deletes.HARD)
    with closing(system.open()) as destination:
        put(destination, whole, row(1))

    assert stored(system) == [row(1)]


def test_a_type_of_the_project_s_own_is_not_compared(system):
    """Only PostgreSQL knows whether it takes what arrives."""
    system.project.run(
        "CREATE TYPE shop.mood AS ENUM ('note 1', 'sad');"
        "CREATE TABLE shop.orders (id bigint PRIMARY KEY, changed_at timestamptz, note shop.mood)"
    )
    frozen = replace(UPSERT, schema_policy=SchemaPolicy.FREEZE)
    with closing(system.open()) as destination:
        put(destination, frozen, row(1))
        with pytest.raises(ConfigError, match="mood"):
            put(destination, replace(frozen, execution="second"), row(2, note="glad"))

    assert [one["note"] for one in system.records("shop", "orders") or ()] == ["note 1"]


def test_a_column_that_rounds_what_arrives_is_told_before_the_state_moves(system):
    """The API tells of no column how many digits it keeps."""
    priced = "CREATE TABLE shop.orders (id bigint PRIMARY KEY, total {})"
    system.project.run(priced.format("numeric(8,2)"))
    fields = [pa.field("id", pa.int64()), field("total", pa.string(), logical=Logical.DECIMAL)]
    fits, finer = (
        pa.Table.from_pylist([{"id": number, "total": total}], schema=pa.schema(fields))
        for number, total in ((1, "1.50"), (2, "2.005"))
    )
    target = replace(UPSERT, schema=fits.schema, cursor_field=None)
    with closing(system.open()) as destination:
        with writing(destination, target) as writer:
            writer.write(Batch(data=fits))
            writer.commit(state("one"))
            writer.write(Batch(data=finer))
            with pytest.raises(ConfigError, match=r"'total'.* has rounded") as told:
                writer.commit(state("two"), finished=True)
        half = seen(destination, target).state

        obey(system.project, told.value, "alter table")
        with writing(destination, target) as writer:
            writer.write(Batch(data=finer))
            writer.commit(state("two"), finished=True)

    totals = [str(one["total"]) for one in system.records("shop", "orders") or ()]
    assert (half, sorted(totals)) == (state("one"), ["1.50", "2.005"])
