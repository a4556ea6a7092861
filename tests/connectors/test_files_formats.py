"""Formats: what is written is what is read, and what does not fit is never bent."""

import csv
import gzip
import io
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import registry
from connectors.arrow import Logical, logical_of
from connectors.contract import Encoding, Selection, SyncMode
from connectors.errors import ConfigError, TransientError

TEXT = st.text(st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=20)


def source_of(directory: Path, path: str, config: Mapping[str, Any] | None = None, **stream: Any):
    settings = {"url": directory.as_uri(), "settle_seconds": 0, **(config or {})}
    return registry.get("files").open_source(
        {**settings, "streams": {"records": {"path": path, **stream}}}
    )


def batches_of(directory: Path, path: str, **stream: Any) -> Any:
    source = source_of(directory, path, **stream)
    selection = Selection(stream=source.stream("records"), mode=SyncMode.FULL)
    return list(source.read(selection, None, Encoding.ARROW))


def records_of(directory: Path, path: str, **stream: Any) -> list[dict[str, Any]]:
    tables = [batch.data for batch in batches_of(directory, path, **stream)]
    return [record for table in tables for record in table.to_pylist()]


def column_of(directory: Path, path: str, name: str, **stream: Any) -> list[Any]:
    return [record[name] for record in records_of(directory, path, **stream)]


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT.filter(bool) | st.none()), max_size=8))
def test_texts_survive_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    """An empty field is NULL, and a quoted one the empty text."""
    directory = tmp_path_factory.mktemp("csv")
    quoted = [[*('"' + v.replace('"', '""') + '"' for v in (one,)), two] for one, two in rows]
    lines = ["one,two", *(",".join(_cells(line)) for line in quoted)]
    (directory / "a.csv").write_text("\n".join(lines) + "\n", newline="")
    columns = {"one": "text", "two": "text"}

    found = records_of(directory, "a.csv", columns=columns)

    assert [(record["one"], record["two"]) for record in found] == rows


def _cells(line: list[Any]) -> list[str]:
    one, two = line
    return [one, "" if two is None else '"' + two.replace('"', '""') + '"']


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


def test_csv_is_read_as_it_is_described(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("1;'Größe; x';NULL\n2;;b\n".encode("latin-1"))
    options = {"delimiter": ";", "quote": "'", "header": False, "encoding": "latin-1"}
    columns = {"id": "integer", "name": "text", "last": "text"}

    found = records_of(tmp_path, "a.txt", columns=columns, csv={**options, "null_words": ["NULL"]})

    assert [(r["id"], r["name"], r["last"]) for r in found] == [
        (1, "Größe; x", None),
        (2, "", "b"),
    ]


def test_a_wrong_encoding_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("v\nGröße\n".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"a.csv.*csv.encoding"):
        records_of(tmp_path, "a.csv")


def test_a_line_of_another_length_is_rejected_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")

    batches = batches_of(tmp_path, "a.csv")

    assert [r["a"] for b in batches for r in b.data.to_pylist()] == [1, 7]
    assert [one.key for b in batches for one in b.rejected] == ["a.csv:3", "a.csv:4"]


def test_a_file_without_records_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text("id\n")
    (tmp_path / "d.csv").write_text("id")

    assert column_of(tmp_path, "*.csv", "id") == [1]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid,v\n1,2\n")

    assert column_of(tmp_path, "a.csv", "id") == [1]


def test_a_column_that_only_a_newer_file_has_is_added(tmp_path: Path) -> None:
    for number in range(12):
        more = ",new" if number == 6 else ""
        value = ",5" if number == 6 else ""
        (tmp_path / f"{number:02}.csv").write_text(f"id{more}\n{number}{value}\n")

    found = records_of(tmp_path, "*.csv")

    assert [r["new"] for r in found if r.get("new") is not None] == [5]
    assert len(found) == 12


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXT | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(
    documents=st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=6), indent=st.booleans()
)
def test_documents_in_json_lines_stay_as_they_are_spelled(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Any], indent: bool
) -> None:
    directory = tmp_path_factory.mktemp("jsonl")
    spelled = [json.dumps(one, separators=(" , ", " : ") if indent else None) for one in documents]
    lines = [f'{{"id": {number}, "d": {one}}}\n' for number, one in enumerate(spelled)]
    (directory / "a.jsonl").write_text("".join(lines))

    found = column_of(directory, "a.jsonl", "d", columns={"d": "json"})

    assert found == spelled


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.none()
        | st.booleans()
        | st.integers(-(2**70), 2**70)
        | TEXT
        | st.decimals(
            allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4
        )
    )
)
def test_whatever_values_a_json_field_has_none_is_altered(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any]
) -> None:
    directory = tmp_path_factory.mktemp("jsonl")
    spelled = [str(v) if isinstance(v, Decimal) else json.dumps(v) for v in values]
    (directory / "a.jsonl").write_text("".join(f'{{"v": {one}}}\n' for one in spelled))

    found = column_of(directory, "a.jsonl", "v") if values else []

    expected = [
        v if v is None or isinstance(v, str) else json.dumps(v) if isinstance(v, bool) else str(v)
        for v in values
    ]
    shown = [json.dumps(v) if isinstance(v, bool) else v if v is None else str(v) for v in found]
    assert shown == expected or all(_is_moment(v) for v in values if v is not None)


def _is_moment(value: Any) -> bool:
    return isinstance(value, str) and len(value) >= 10 and value[4:5] == "-"


def test_json_fields_of_several_kinds_fall_back_to_text_without_loss(tmp_path: Path) -> None:
    lines = [
        '{"v": 1}',
        '{"v": "007"}',
        '{"v": 2.50}',
        '{"v": 1e3}',
        '{"w": [1,  2]}',
        '{"v": null}',
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    found = records_of(tmp_path, "a.jsonl")

    assert [r["v"] for r in found] == ["1", "007", "2.50", "1e3", None, None]
    assert found[4]["w"] == "[1,  2]"


def test_a_line_that_is_no_json_object_is_rejected_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"id": 1}\n[2]\n{"id": 3\n\n{"id": \xff}\n{"id": 5}')

    batches = batches_of(tmp_path, "a.jsonl")

    assert [r["id"] for b in batches for r in b.data.to_pylist()] == [1, 5]
    assert [r.key for b in batches for r in b.rejected] == ["a.jsonl:2", "a.jsonl:3", "a.jsonl:5"]


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


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.zst", "a.parquet", "a.xlsx"])
def test_a_file_that_was_cut_off_is_tried_again_later(tmp_path: Path, name: str) -> None:
    whole = "".join(["id,v\n", *(f"{n},{n * 7919 % 1000003}\n" for n in range(50_000))]).encode()
    if name.endswith(".gz"):
        content = gzip.compress(whole)
    elif name.endswith(".zst"):
        content = bytes(pa.compress(whole, "zstd"))
    elif name.endswith(".parquet"):
        file = io.BytesIO()
        pa.parquet.write_table(pa.table({"id": range(50_000)}), file)
        content = file.getvalue()
    else:
        book, file = openpyxl.Workbook(), io.BytesIO()
        book.save(file)
        content = file.getvalue()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])

    with pytest.raises(TransientError, match=r"a\.(csv|parquet|xlsx)"):
        records_of(tmp_path, "a.*")


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    members = gzip.compress(b"id\n1\n") + gzip.compress(b"2\n") + b"\0" * 100
    (tmp_path / "a.csv.gz").write_bytes(members)

    assert column_of(tmp_path, "*.gz", "id") == [1, 2]


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"id\n" + b"1\n" * 4_000_000))
    source = source_of(tmp_path, "*.gz", {"most_unpacked_mb": 3})
    selection = Selection(stream=source.stream("records"), mode=SyncMode.FULL)

    with pytest.raises(ConfigError, match=r"more than 3 MB.*most_unpacked_mb"):
        list(source.read(selection, None, Encoding.ARROW))


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        ("12.50", "12.50"),
        ("7", "7"),
        ("0", "0"),
        ("-0", "-0"),
        ("-0.00", "-0.00"),
        ("1.5e3", "1500"),
        ('"12.50"', "12.50"),
        ('"1e5"', None),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
        ("9" * 5000, "9" * 5000),
        ("null", None),
        ("true", None),
        ("[1.5]", None),
    ],
)
def test_a_decimal_in_json_lines_stays_as_it_is_spelled(
    tmp_path: Path, spelled: str, read: str | None
) -> None:
    """Law 7: however it is taken, alone and among plain ones; what is no number is set apart."""
    lines = [f'{{"n": {spelled}}}', '{"n": 1.10}', "{}"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")

    found = column_of(tmp_path, "a.jsonl", "n", columns={"n": "decimal"})

    assert found == [read, "1.10", None]
