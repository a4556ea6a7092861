"""Types of a file's columns, guessed or declared: no value is ever bent to fit one."""

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.arrow import Logical, logical_of
from connectors.errors import ConfigError
from tests.connectors.files.reading import batches_of, column_of, records_of, source_of


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.from_regex(r"[-+]?0{0,2}[0-9]{0,20}(\.[0-9]{0,3})?", fullmatch=True)))
def test_an_inferred_type_spells_every_value_as_the_file_does(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    """Law 7: whatever type is guessed, no digit, zero or sign is lost by it."""
    directory = tmp_path_factory.mktemp("csv")
    with (directory / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["v", "end"], *([value, "x"] for value in values)])

    found = column_of(directory, "a.csv", "v")

    assert [None if v is None else str(v) for v in found] == [v or None for v in values]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20"], pa.int64()),
        (["007", "8"], pa.string()),
        (["+1"], pa.string()),
        (["-0"], pa.string()),
        (["true", "false"], pa.bool_()),
        (["True"], pa.string()),
        (["2024-02-29", "1999-12-31"], pa.date32()),
        (["2023-02-29"], pa.string()),
        (["2024-01-01T10:00:00Z", "2024-01-01 10:00:00.5+02:00"], pa.timestamp("us", "UTC")),
        (["2024-01-01 10:00:00"], pa.timestamp("us")),
        (["2024-01-01 10:00:00.1234567"], pa.string()),
        (["1.0.0"], pa.string()),
        (["9223372036854775807"], pa.int64()),
    ],
)
def test_a_type_is_inferred_only_from_its_own_spelling(
    tmp_path: Path, values: list[str], kind: pa.DataType
) -> None:
    (tmp_path / "a.csv").write_text("\n".join(["v", *values]) + "\n")

    found = source_of(tmp_path, "a.csv").stream("records").schema.field("v")

    assert found.type == kind
    assert logical_of(found) is None


def test_numbers_with_a_fraction_and_numbers_too_large_are_exact_decimals(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("v\n1.10\n92233720368547758080\n")

    found = source_of(tmp_path, "a.csv").stream("records").schema.field("v")

    assert logical_of(found) is Logical.DECIMAL
    assert column_of(tmp_path, "a.csv", "v") == ["1.10", "92233720368547758080"]


def test_a_late_value_that_does_not_fit_is_kept_beside_its_column(tmp_path: Path) -> None:
    """A sample decides the type; a row far behind it neither fails nor is bent."""
    numbers = [str(number) for number in range(300_000)]
    (tmp_path / "a.csv").write_text("\n".join(["v", *numbers, "007", "n/a"]) + "\n")

    found = records_of(tmp_path, "a.csv")

    assert found[299_999]["v"] == 299_999
    assert [(r["v"], r["v__text"]) for r in found[-2:]] == [(None, "007"), (None, "n/a")]


def test_a_misfit_is_rejected_or_fails_where_the_tenant_wants_that(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,v\n1,5\n2,secret\n3,6\n")
    declared = {"columns": {"v": "integer"}}

    batches = batches_of(tmp_path, "a.csv", misfits="reject", **declared)
    with pytest.raises(ConfigError, match=r"column 'v' of 'a.csv' is int64") as failed:
        batches_of(tmp_path, "a.csv", misfits="fail", **declared)

    [rejected] = [one for batch in batches for one in batch.rejected]
    assert (rejected.key, rejected.reason) == ("a.csv:2", "column 'v' holds no int64")
    assert [r["id"] for b in batches for r in b.data.to_pylist()] == [1, 3]
    assert "secret" not in str(failed.value)


def test_a_declared_type_is_taken_at_its_word(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("n,d,b,t\n007,1.5,1,10:30\n")
    columns = {"n": "integer", "d": "decimal(12,2)", "b": "boolean", "t": "time"}

    [found] = records_of(tmp_path, "a.csv", columns=columns)

    assert (found["n"], found["d"], found["b"]) == (7, Decimal("1.50"), True)
    assert str(found["t"]) == "10:30:00"


def test_a_column_that_only_a_newer_file_has_is_added(tmp_path: Path) -> None:
    for number in range(12):
        more = ",new" if number == 6 else ""
        value = ",5" if number == 6 else ""
        (tmp_path / f"{number:02}.csv").write_text(f"id{more}\n{number}{value}\n")

    found = records_of(tmp_path, "*.csv")

    assert [r["new"] for r in found if r.get("new") is not None] == [5]
    assert len(found) == 12


def test_excel_cells_keep_their_meaning(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.append(["id", "price", "zip", "paid"])
    sheet.append([1, 1.1, "007", True])
    sheet.append([None] * 4)
    sheet.append([2, 3, "x", False])
    book.save(tmp_path / "a.xlsx")

    found = records_of(tmp_path, "a.xlsx")

    assert [(r["id"], r["price"], r["zip"], r["paid"]) for r in found] == [
        (1, "1.1", "007", True),
        (2, "3", "x", False),
    ]
