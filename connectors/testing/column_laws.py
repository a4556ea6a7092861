"""A destination's laws about columns and values: added, widened, and never altered."""

# ruff: noqa: D102 - the name of a test is its docstring

from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pytest

from connectors.arrow import Digits, Field, Logical, field
from connectors.contract import (
    Destination,
    Target,
    WriteMode,
)
from connectors.errors import (
    ConfigError,
    ConnectorError,
)
from connectors.testing.features import Feature
from connectors.testing.rows import SCHEMA, at, row, rows_of, table
from connectors.testing.values import CASES, Case, spelled_decimal
from connectors.testing.writing import (
    APPEND,
    DATASET,
    MODES,
    REPLACE,
    TABLE,
    UPSERT,
    DestinationSystem,
    Opened,
    put,
    put_tables,
    stored,
)

LIKELY_NAMES = """
    n cursor a b i k r s t x side arrived present rank ranked rn row_number seq ordinal arrival
    staged new old excluded target source select order user count key value state execution
    token owner stream
"""
"""Names that somebody who writes SQL might choose for something of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Widening:
    """A column that changes its type, with a value before and one after."""

    name: str
    before: Field
    after: Field
    old: Any
    new: Any
    needs: tuple[Feature, ...] = ()


def _decimal(digits: Digits | None = None) -> Field:
    return field("v", pa.string(), logical=Logical.DECIMAL, digits=digits)


def _schema(column: Field) -> pa.Schema:
    return pa.schema([field("id", pa.int64()), column])


WIDENINGS = (
    Widening(
        name="integers",
        before=field("v", pa.int16()),
        after=field("v", pa.int64()),
        old=7,
        new=2**63 - 1,
    ),
    Widening(
        name="integer to decimal",
        before=field("v", pa.int64()),
        after=_decimal(),
        old=2**63 - 1,
        new="1.5",
        needs=(Feature.ENDLESS_DECIMALS,),
    ),
    Widening(
        name="decimals",
        before=_decimal(Digits(precision=5, scale=2)),
        after=_decimal(Digits(precision=12, scale=4)),
        old="123.45",
        new="12345678.1234",
    ),
)


class ColumnLaws(Opened):
    """What arrives is what was sent, under the name it had."""

    # Columns

    @MODES
    def test_a_new_column_is_added_and_a_missing_one_stays(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        """A column is never dropped."""
        put(destination, usual, row(1))
        without_note = SCHEMA.remove(SCHEMA.get_field_index("note"))
        wider = without_note.append(field("grade", pa.int64()))
        records = [{"id": 2, "changed_at": at(3), "grade": 7}]
        second = replace(usual, execution="second", schema=wider)

        put_tables(destination, second, pa.Table.from_pylist(records, schema=wider))

        found = system.records(DATASET, TABLE)
        assert found is not None
        added = next(record for record in found if int(record["id"]) == 2)
        assert (added["grade"], added["note"]) == (7, None)
        if usual.write_mode is not WriteMode.REPLACE:
            kept = next(record for record in found if int(record["id"]) == 1)
            assert (kept["grade"], kept["note"]) == (None, "note 1")

    def test_a_column_that_appears_in_the_middle_of_a_read_is_added(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        wider = SCHEMA.append(field("grade", pa.int64()))
        graded = [{"id": 2, "changed_at": at(1), "note": None, "grade": 5}]

        put_tables(destination, UPSERT, table(row(1)), pa.Table.from_pylist(graded, schema=wider))

        found = system.records(DATASET, TABLE) or []
        grades = {int(record["id"]): record["grade"] for record in found}
        assert grades == {1: None, 2: 5}

    def test_an_update_leaves_columns_alone_that_only_the_destination_has(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1))
        narrow = SCHEMA.remove(SCHEMA.get_field_index("note"))
        second = replace(UPSERT, execution="second", schema=narrow)

        done = put_tables(destination, second, table(row(1, seconds=4)).select(narrow.names))

        assert done.counts.updated == 1
        assert stored(system) == [row(1, seconds=4)]

    @pytest.mark.parametrize("wider", WIDENINGS, ids=lambda wider: wider.name)
    @MODES
    def test_a_column_is_widened_without_altering_a_value(
        self,
        system: DestinationSystem,
        destination: Destination,
        usual: Target,
        wider: Widening,
    ) -> None:
        self.needs(*wider.needs)
        old, new = (
            pa.Table.from_pylist([{"id": number, "v": value}], schema=schema)
            for number, (schema, value) in enumerate(
                ((_schema(wider.before), wider.old), (_schema(wider.after), wider.new))
            )
        )
        to = replace(usual, schema=old.schema, cursor_field=None)
        put_tables(destination, to, old)

        put_tables(destination, replace(to, execution="second", schema=new.schema), new)

        found = sorted(system.records(DATASET, TABLE) or [], key=lambda r: int(r["id"]))
        expected = [str(wider.old), str(wider.new)]
        kept = expected[1:] if usual.write_mode is WriteMode.REPLACE else expected
        assert [spelled_decimal(record["v"]) for record in found] == kept

    @MODES
    def test_a_type_that_no_column_can_take_is_refused_with_its_name(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        put(destination, usual, row(1), mark="one")
        other = SCHEMA.set(SCHEMA.get_field_index("note"), field("note", pa.bool_()))
        record = [{"id": 2, "changed_at": at(1), "note": True}]

        with pytest.raises(ConfigError, match="note"):
            put_tables(
                destination,
                replace(usual, execution="second", schema=other),
                pa.Table.from_pylist(record, schema=other),
            )

        assert stored(system) == [row(1)]

    def test_names_keep_their_spelling(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        odd = 'Größe "in" cm; --'
        schema = pa.schema([field("ID", pa.int64()), field(odd, pa.int64())])
        to = replace(
            UPSERT, table="Odd orders", schema=schema, primary_key=("ID",), cursor_field=None
        )

        for execution, size in (("one", 1), ("two", 2)):
            record = [{"ID": 1, odd: size}]
            data = pa.Table.from_pylist(record, schema=schema)
            put_tables(destination, replace(to, execution=execution), data)

        [found] = system.records(DATASET, "Odd orders") or []
        assert dict(found) == {"ID": 1, odd: 2}

    @pytest.mark.parametrize(
        ("usual", "twins"),
        [(APPEND, 1), (UPSERT, 1), (REPLACE, 1), (replace(APPEND, primary_key=()), 2)],
        ids=["append", "upsert", "replace", "append without a key"],
    )
    def test_a_column_may_be_called_what_a_query_might_call_its_own(
        self, system: DestinationSystem, destination: Destination, usual: Target, twins: int
    ) -> None:
        names = LIKELY_NAMES.split()
        schema = pa.schema([field(name, pa.int64()) for name in names])
        key = ("n",) if usual.primary_key else ()
        to = replace(usual, schema=schema, primary_key=key, cursor_field="cursor")
        first, second = ({name: base + i for i, name in enumerate(names)} for base in (0, 50))

        put_tables(destination, to, pa.Table.from_pylist([first], schema=schema))
        both = pa.Table.from_pylist([first, second, second], schema=schema)
        put_tables(destination, replace(to, execution="second"), both)

        found = [dict(record) for record in system.records(DATASET, TABLE) or []]
        assert sorted(found, key=lambda r: int(r["n"])) == [first, *[second] * twins]

    @pytest.mark.parametrize("usual", [APPEND, UPSERT], ids=["append", "upsert"])
    def test_a_column_that_the_system_calls_its_own_is_kept_or_refused_but_not_confused(
        self, system: DestinationSystem, destination: Destination, usual: Target
    ) -> None:
        schema = SCHEMA.append(field("rowid", pa.int64()))
        to = replace(usual, schema=schema)
        batches = [
            pa.Table.from_pylist(
                [{"id": 1, "changed_at": at(second), "note": "x", "rowid": 7} for _ in "12"],
                schema=schema,
            )
            for second in (1, 2)
        ]

        try:
            for number, batch in enumerate(batches):
                put_tables(destination, replace(to, execution=str(number)), batch)
        except ConfigError as error:
            assert "rowid" in str(error)
            return

        times = [found.changed_at for found in stored(system) or []]
        assert times == ([at(2)] if usual is UPSERT else [at(1), at(2)])

    # Values

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    @pytest.mark.parametrize("way", ["first load", "merge"])
    def test_values_arrive_exactly(
        self, system: DestinationSystem, destination: Destination, way: str, case: Case
    ) -> None:
        """Law 7 of the design: nothing is silently altered, and what is the same is seen to be."""
        self.needs(*case.needs)
        to = replace(UPSERT, schema=case.schema, cursor_field=None)
        if way == "merge":
            placeholder = case.table.slice(0, 1).set_column(
                1, case.column, pa.nulls(1, case.column.type)
            )
            put_tables(destination, to, placeholder)

        put_tables(destination, replace(to, execution="second"), case.table)
        again = put_tables(destination, replace(to, execution="third"), case.table)

        found = system.records(DATASET, TABLE)
        assert found is not None
        assert case.found(found) == case.expected
        assert case.found(destination.read_table(DATASET, TABLE).to_pylist()) == case.expected
        assert (again.counts.created, again.counts.updated) == (0, 0)

    def test_a_zero_byte_in_a_text_is_kept_or_refused_but_not_altered(
        self, system: DestinationSystem, destination: Destination
    ) -> None:
        bad = row(1, note="before\x00after")

        try:
            rejected = put(destination, UPSERT, bad, row(2)).counts.rejected
        except ConnectorError:
            assert not stored(system)
            return

        assert stored(system) == ([row(2)] if rejected else [bad, row(2)])

    # Reading back

    def test_a_table_is_read_back_whole(self, destination: Destination) -> None:
        put(destination, UPSERT, row(2), row(1))

        found = destination.read_table(DATASET, TABLE)

        assert rows_of(found.to_pylist()) == [row(1), row(2)]

    def test_a_table_that_is_not_there_is_refused_by_its_name(
        self, destination: Destination
    ) -> None:
        put(destination, UPSERT, row(1))

        with pytest.raises(ConfigError, match="nowhere"):
            destination.read_table(DATASET, "nowhere")
