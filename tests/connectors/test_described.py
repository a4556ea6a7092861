"""What is described without Arrow means the same as Arrow's own."""

import subprocess
import sys

import pyarrow as pa
import pytest

from connectors.arrow import (
    Digits,
    Logical,
    Native,
    described,
    digits_of,
    evolved,
    field,
    length_of,
    logical_of,
    native_of,
    spelled,
)
from connectors.described import DescribedSchema, arrow_field, arrow_schema, schema_of
from connectors.sql.cursor import kind_of
from connectors.sql.postgres import types

KINDS = (
    *(pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_(), pa.string()),
    *(pa.binary(), pa.date32(), pa.time64("us"), pa.timestamp("us"), pa.timestamp("us", "UTC")),
)


@pytest.mark.parametrize("kind", [*KINDS, *(pa.list_(kind) for kind in KINDS)], ids=str)
def test_a_described_field_is_arrows_field_of_the_spelled_type(kind: pa.DataType) -> None:
    native = Native(dialect="postgresql", type="whatever(3)")

    mine = described("c", str(kind), nullable=False, native=native, length=3)
    arrows = field("c", kind, nullable=False, native=native, length=3)

    assert arrow_field(mine).equals(arrows, check_metadata=True)
    assert mine.type.equals(kind)
    assert kind_of(mine) == kind_of(arrows)
    assert spelled(mine) == spelled(arrows)
    assert types.type_for(mine, None, None, None) == types.type_for(arrows, None, None, None)


def test_a_described_field_says_the_same_of_itself_as_arrows() -> None:
    digits = Digits(precision=12, scale=2)
    mine = described("c", "string", logical=Logical.DECIMAL, digits=digits)
    arrows = field("c", pa.string(), logical=Logical.DECIMAL, digits=digits)

    for asked in (native_of, logical_of, digits_of, length_of, kind_of):
        assert asked(mine) == asked(arrows)


def test_every_type_that_postgresql_describes_is_known_to_arrow() -> None:
    for base in (*types.EXACT, *(f"_{base}" for base in types.EXACT), "numeric", "uuid", "inet"):
        column = types.column("c", base, base=base, kind="b", built_in=True, null=True)

        assert arrow_field(column.field).type == column.field.type


def test_described_schemas_evolve_without_arrow_while_their_types_are_the_same() -> None:
    present = DescribedSchema((described("a", "int64", nullable=False), described("b", "string")))
    arriving = DescribedSchema((described("a", "int64"), described("c", "bool", nullable=False)))

    found = evolved(present, arriving)

    assert found == DescribedSchema(
        (described("a", "int64"), described("b", "string"), described("c", "bool"))
    )


def test_a_described_column_is_widened_as_arrows_is() -> None:
    present = DescribedSchema((described("a", "int32"), described("b", "string")))
    arriving = pa.schema([field("a", pa.int64())])

    found = evolved(present, arriving)

    expected = pa.schema([field("a", pa.int64()), field("b", pa.string())])
    assert arrow_schema(found).equals(expected, check_metadata=True)
    assert schema_of(found) == found


def test_the_contract_is_imported_without_arrow() -> None:
    code = (
        "import sys, connectors.contract, connectors.registry, connectors.sql.destination, "
        "connectors.sql.source, connectors.sql.postgres.reader, connectors.sql.postgres.writer;"
        "sys.exit('pyarrow' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
