"""From PostgreSQL to PostgreSQL: raw bytes only where every column stays what it is."""

from contextlib import closing
from dataclasses import replace

import pytest

from connectors.contract import Encoding, SyncMode, WriteMode
from connectors.errors import ConfigError
from connectors.schema_policy import OnConflict, SchemaPolicy
from tests.contract.moving import moved, planned
from tests.contract.systems import Postgres


@pytest.fixture
def system(postgres_url):
    made = Postgres(postgres_url)
    made.make_orders(indexed=True)
    execute(made, "INSERT INTO orders VALUES (1, '2026-01-01Z', '1'), (2, '2026-01-02Z', '2')")
    return made


def execute(system, statement):
    with system.connect() as connection:
        connection.execute(statement)


def move(system, execution, **rules):
    """Bring the copy up to date as the engine does: by the first encoding in common."""
    with closing(system.source()) as source, closing(system.destination()) as destination:
        selection, target = planned(
            source,
            "orders",
            mode=SyncMode.INCREMENTAL,
            write_mode=WriteMode.UPSERT,
            execution=execution,
            dataset="shop",
        )
        target = replace(target, **rules)
        encoding = destination.encodings(target)[0]
        moved(source, destination, selection, target, encoding)
        return encoding


def copies(system, *columns):
    records = system.records("shop", "orders") or []
    return sorted((tuple(record.get(name) for name in columns) for record in records), key=repr)


def test_a_column_that_is_ignored_takes_arrow_and_one_that_is_not_new_does_not(system):
    ignoring = {"schema_policy": SchemaPolicy.IGNORE_NEW}
    first = move(system, "first", **ignoring)
    second = move(system, "second", **ignoring)
    execute(system, "ALTER TABLE orders ADD grade int DEFAULT 7")
    execute(system, "INSERT INTO orders VALUES (3, '2026-01-03Z', '3', 8)")

    third = move(system, "third", **ignoring)

    assert (first, second, third) == (Encoding.PGCOPY, Encoding.PGCOPY, Encoding.ARROW)
    assert copies(system, "id", "grade") == [(1, None), (2, None), (3, None)]
    assert all("grade" not in record for record in system.records("shop", "orders"))


def test_a_frozen_schema_refuses_a_new_column_by_either_encoding(system):
    frozen = {"schema_policy": SchemaPolicy.FREEZE}
    move(system, "first", **frozen)
    execute(system, "ALTER TABLE orders ADD grade int DEFAULT 7")

    with pytest.raises(ConfigError, match="the schema is frozen, and column 'grade' is new"):
        move(system, "second", **frozen)

    assert copies(system, "id") == [(1,), (2,)]


def test_a_type_that_changes_goes_beside_and_comes_back(system):
    beside = {"on_conflict": OnConflict.VARIANT}
    execute(system, "ALTER TABLE orders ALTER note TYPE int USING note::int")
    assert move(system, "first", **beside) is Encoding.PGCOPY
    execute(system, "ALTER TABLE orders ALTER note TYPE text")
    execute(system, "UPDATE orders SET note = 'two', changed_at = '2026-02-01Z' WHERE id = 2")
    assert move(system, "second", **beside) is Encoding.ARROW
    between = copies(system, "id", "note", "note__text")
    execute(system, "UPDATE orders SET note = '22', changed_at = '2026-03-01Z' WHERE id = 2")
    execute(system, "ALTER TABLE orders ALTER note TYPE int USING note::int")

    third = move(system, "third", **beside)

    assert between == [(1, 1, None), (2, None, "two")]
    assert third is Encoding.ARROW
    assert copies(system, "id", "note", "note__text") == [(1, 1, None), (2, 22, None)]
