"""A destination's laws about columns that change, under each policy of a sync."""

# ruff: noqa: D102 - the name of a test is its docstring

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from connectors.arrow import field
from connectors.contract import Destination, Target
from connectors.errors import ConfigError
from connectors.schema_policy import OnConflict, SchemaPolicy
from connectors.testing.features import Feature
from connectors.testing.rows import SCHEMA, at, row
from connectors.testing.writing import (
    DATASET,
    MODES,
    REPLACE,
    TABLE,
    UPSERT,
    DestinationSystem,
    Opened,
    put,
    put_tables,
)

GRADED = SCHEMA.append(field("grade", pa.int64()))
WORDED = SCHEMA.append(field("grade", pa.string()))


def graded(schema: pa.Schema, *grades: tuple[int, object]) -> pa.Table:
    """Records with these grades; later ones have a later cursor."""
    records = [
        {"id": n, "changed_at": at(second), "note": f"note {n}", "grade": grade}
        for second, (n, grade) in enumerate(grades, start=10 if schema is WORDED else 1)
    ]
    return pa.Table.from_pylist(records, schema=schema)


def found(system: DestinationSystem, *columns: str) -> Sequence[tuple[Any, ...]]:
    """What the table holds in these columns."""
    records: list[Mapping[str, Any]] = system.records(DATASET, TABLE) or []
    rows = (tuple(record.get(name) for name in ("id", *columns)) for record in records)
    return sorted(rows, key=repr)


def ruled(target: Target, **rules: Any) -> Target:
    """The target of another execution, under these rules."""
    return replace(target, execution="second", **rules)


class SchemaLaws(Opened):
    """Frozen, ignored or set beside: never altered, and never lost unasked."""

    @MODES
    def test_a_frozen_schema_refuses_a_new_column_and_changes_nothing(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        self.needs(Feature.SCHEMA_POLICY)
        put(destination, usual, row(1))
        frozen = ruled(usual, schema=GRADED, schema_policy=SchemaPolicy.FREEZE)

        with pytest.raises(ConfigError, match="the schema is frozen, and column 'grade' is new"):
            put_tables(destination, frozen, graded(GRADED, (2, 7)))

        assert found(system) == [(1,)]
        assert "grade" not in (system.records(DATASET, TABLE) or [{}])[0]

    def test_a_frozen_schema_refuses_a_wider_type_and_a_column_that_vanished(
        self, destination: Destination
    ) -> None:
        self.needs(Feature.SCHEMA_POLICY)
        put_tables(destination, replace(UPSERT, schema=GRADED), graded(GRADED, (1, 7)))
        wide = SCHEMA.append(field("grade", pa.decimal128(30, 4)))
        frozen = ruled(UPSERT, schema_policy=SchemaPolicy.FREEZE)

        with pytest.raises(ConfigError, match=r"frozen, and column .grade. is .* now arrives as"):
            put_tables(destination, replace(frozen, schema=wide), wide.empty_table())
        with pytest.raises(ConfigError, match="column 'grade' of the table does not arrive"):
            put(destination, frozen, row(2))

    def test_a_frozen_schema_takes_what_fits_it(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.SCHEMA_POLICY)
        frozen = replace(UPSERT, schema_policy=SchemaPolicy.FREEZE)
        put(destination, frozen, row(1))

        put(destination, replace(frozen, execution="second"), row(2))

        assert found(system) == [(1,), (2,)]

    @MODES
    def test_a_new_column_is_left_out_where_new_ones_are_ignored(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        self.needs(Feature.SCHEMA_POLICY)
        put(destination, usual, row(1))
        ignoring = ruled(usual, schema=GRADED, schema_policy=SchemaPolicy.IGNORE_NEW)

        put_tables(destination, ignoring, graded(GRADED, (2, 7)))

        assert (2,) in found(system)
        assert all("grade" not in record for record in system.records(DATASET, TABLE) or [])

    @MODES
    def test_values_of_another_type_go_beside_the_column_as_they_are(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        self.needs(Feature.VARIANT)
        put_tables(destination, replace(usual, schema=GRADED), graded(GRADED, (1, 7), (2, 8)))
        beside = ruled(usual, schema=WORDED, on_conflict=OnConflict.VARIANT)

        put_tables(destination, beside, graded(WORDED, (2, "009"), (3, "good")))

        rows = found(system, "grade", "grade__text")
        assert (2, None, "009") in rows
        assert (3, None, "good") in rows
        if usual == UPSERT:
            assert rows == [(1, 7, None), (2, None, "009"), (3, None, "good")]

    def test_a_value_that_fits_again_leaves_the_variant(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.VARIANT)
        put_tables(destination, replace(UPSERT, schema=GRADED), graded(GRADED, (1, 7)))
        beside = ruled(UPSERT, schema=WORDED, on_conflict=OnConflict.VARIANT)
        put_tables(destination, beside, graded(WORDED, (1, "bad")))
        fitting = pa.Table.from_pylist(
            [{"id": 1, "changed_at": at(50), "note": "n", "grade": 9}], schema=GRADED
        )

        put_tables(destination, replace(beside, execution="third", schema=GRADED), fitting)

        assert found(system, "grade", "grade__text") == [(1, 9, None)]

    def test_types_that_change_in_the_middle_of_a_first_read_are_kept_too(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.VARIANT)
        beside = replace(REPLACE, schema=GRADED, on_conflict=OnConflict.VARIANT)

        put_tables(destination, beside, graded(GRADED, (1, 7)), graded(WORDED, (2, "good")))

        assert found(system, "grade", "grade__text") == [(1, 7, None), (2, None, "good")]

    def test_a_conflict_fails_unless_a_variant_is_asked_for(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        self.needs(Feature.VARIANT)
        put_tables(destination, replace(UPSERT, schema=GRADED), graded(GRADED, (1, 7)))

        with pytest.raises(ConfigError, match="on_conflict: variant"):
            put_tables(destination, ruled(UPSERT, schema=WORDED), graded(WORDED, (1, "bad")))

        assert found(system, "grade") == [(1, 7)]

    def test_a_key_never_goes_to_a_variant(self, destination: Destination) -> None:
        self.needs(Feature.VARIANT)
        put(destination, UPSERT, row(1))
        other = SCHEMA.set(0, field("id", pa.string()))
        beside = ruled(UPSERT, schema=other, on_conflict=OnConflict.VARIANT)

        with pytest.raises(ConfigError, match="column 'id'"):
            put_tables(destination, beside, other.empty_table())

    def test_a_variant_that_the_stream_has_itself_is_refused(
        self, destination: Destination
    ) -> None:
        self.needs(Feature.VARIANT)
        put_tables(destination, replace(UPSERT, schema=GRADED), graded(GRADED, (1, 7)))
        both = WORDED.append(field("grade__text", pa.string()))
        beside = ruled(UPSERT, schema=both, on_conflict=OnConflict.VARIANT)

        with pytest.raises(ConfigError, match="its variant 'grade__text' is a column"):
            put_tables(destination, beside, both.empty_table())
