"""A whole table in the place of another: at once, with all that hangs on it, and not by nothing."""

from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest

from connectors.contract import Deletes, WriteMode
from connectors.errors import EmptySourceError
from tests.connectors.sql_destination.house import House, row


def test_a_replacement_swaps_the_whole_table(house: House) -> None:
    """R53."""
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"), row(2, "b"))

    counts = house.sync(replace(whole, execution="second"), row(2, "B"), row(3, "c"))

    assert counts.created == 2
    assert house.rows() == [(2, "B"), (3, "c")]


def test_a_replacement_is_seen_by_nobody_before_its_commit(house: House) -> None:
    """R64."""
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))

    with closing(house.open(replace(whole, execution="second"))) as writer:
        writer.write(house.batch([row(2, "b")]))

        assert house.rows() == [(1, "a")]
    assert house.rows() == [(1, "a")]


def test_a_replacement_keeps_the_columns_that_only_the_destination_has(house: House) -> None:
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))
    house.query(f"ALTER TABLE {house.table()} ADD COLUMN mine INTEGER")

    house.sync(replace(whole, execution="second"), row(2, "b"))

    assert house.rows("id, note, mine") == [(2, "b", None)]


def test_an_index_and_a_view_survive_a_replacement(house: House) -> None:
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))
    view = house.table("seen")
    house.query(f"CREATE VIEW {view} AS SELECT note FROM {house.table()}")
    house.query(f"CREATE UNIQUE INDEX mine_{house.dataset} ON {house.table()} (note)")

    house.sync(replace(whole, execution="second"), row(2, "b"))

    assert house.query(f"SELECT note FROM {view}") == [("b",)]
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        house.query(f"INSERT INTO {house.table()} (id, note) VALUES (8, 'b')")


def test_grants_survive_a_replacement(postgres: House) -> None:
    whole = postgres.target(write_mode=WriteMode.REPLACE)
    postgres.sync(whole, row(1, "a"))
    role = f"reader_{uuid4().hex[:8]}"
    postgres.query(f"CREATE ROLE {role}")
    postgres.query(f"GRANT SELECT ON {postgres.table()} TO {role}")

    postgres.sync(replace(whole, execution="second"), row(2, "b"))

    privilege = f"SELECT has_table_privilege('{role}', '{postgres.table()}', 'SELECT')"
    assert postgres.query(privilege) == [(True,)]
    assert postgres.rows() == [(2, "b")]
    postgres.query(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_replaced_table_is_left_with_its_key_and_nothing_beside_it(postgres: House) -> None:
    whole = postgres.target(write_mode=WriteMode.REPLACE)
    for execution in ("first", "second", "third"):
        postgres.sync(replace(whole, execution=execution), row(1, "a"))

    tables = f"SELECT relname FROM pg_class WHERE relnamespace = '{postgres.dataset}'::regnamespace"
    assert postgres.query(f"{tables} AND relkind = 'r' ORDER BY 1") == [
        ("_sync_state",),
        ("orders",),
    ]
    key = f"SELECT count(*) FROM pg_index WHERE indrelid = '{postgres.table()}'::regclass"
    assert postgres.query(f"{key} AND indisprimary") == [(1,)]


def test_an_empty_source_does_not_empty_a_filled_table(house: House) -> None:
    """Refused for a replacement, and where missing records would be deleted."""
    whole = house.target(write_mode=WriteMode.REPLACE)
    house.sync(whole, row(1, "a"))

    with pytest.raises(EmptySourceError, match="allow empty"):
        house.sync(replace(whole, execution="second"))
    with pytest.raises(EmptySourceError, match="allow empty"):
        house.sync(house.target(complete=True, deletes=Deletes.HARD, execution="third"))

    assert house.rows() == [(1, "a")]


def test_an_empty_source_empties_where_that_is_allowed(house: House) -> None:
    whole = house.target(write_mode=WriteMode.REPLACE, allow_empty=True)
    house.sync(whole, row(1, "a"))

    house.sync(replace(whole, execution="second"))

    assert house.rows() == []


def test_an_empty_source_makes_an_empty_table(house: House) -> None:
    house.sync(house.target())

    assert house.rows('id, note, "at"') == []
