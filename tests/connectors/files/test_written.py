"""CSV and JSON lines as they are written: every value is read back as what it was."""

import json
import math
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import registry
from connectors.arrow import Digits, Logical, field
from connectors.contract import Destination, Encoding, Selection, SyncMode, WriteMode
from connectors.errors import ConfigError, TransientError
from connectors.files.config import Compression, FormatName
from connectors.files.manifest import Part
from connectors.files.parts import Form, read, write
from connectors.testing.rows import row
from connectors.testing.values import CASES, Case
from connectors.testing.writing import DATASET, TABLE, UPSERT, put, put_tables

CSV = Form(format=FormatName.CSV, compression=Compression.GZIP)
JSONL = Form(format=FormatName.JSONL, compression=Compression.ZSTD)
FORMS = pytest.mark.parametrize("form", [CSV, JSONL], ids=["csv.gz", "jsonl.zst"])

KEPT = [case for case in CASES if not pa.types.is_decimal(case.column.type)]
"""Arrow's own decimals never come here: a table of files has them as texts."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e300, 1e300) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
MOMENT = st.datetimes()
COLUMNS: dict[str, tuple[Any, Any]] = {
    "whole": (field("whole", pa.int64()), st.integers(-(2**63), 2**63 - 1)),
    "short": (field("short", pa.int8()), st.integers(-128, 127)),
    "unsigned": (field("unsigned", pa.uint64()), st.integers(0, 2**64 - 1)),
    "float": (field("float", pa.float64()), st.floats()),
    "half": (field("half", pa.float32()), st.floats(width=32)),
    "yes": (field("yes", pa.bool_()), st.booleans()),
    'te"x,t': (field('te"x,t', pa.string()), TEXT),
    "document": (field("document", pa.string(), logical=Logical.JSON), DOCUMENT.map(json.dumps)),
    "price": (
        field("price", pa.string(), logical=Logical.DECIMAL, digits=Digits(precision=38, scale=9)),
        st.decimals(-(10**28), 10**28, places=9).map("{:f}".format),
    ),
    "uuid": (field("uuid", pa.string(), logical=Logical.UUID), st.uuids().map(str)),
    "bytes": (field("bytes", pa.binary()), st.binary(max_size=8)),
    "day": (field("day", pa.date32()), st.dates(date(1, 1, 1))),
    "hour": (field("hour", pa.time64("us")), st.times()),
    "local": (field("local", pa.timestamp("us")), MOMENT),
    "instant": (
        field("instant", pa.timestamp("us", "UTC")),
        MOMENT.map(lambda moment: moment.replace(tzinfo=UTC)),
    ),
    "texts": (field("texts", pa.list_(pa.string())), st.lists(TEXT | st.none(), max_size=3)),
    "floats": (field("floats", pa.list_(pa.float64())), st.lists(st.floats(), max_size=3)),
    "blobs": (field("blobs", pa.list_(pa.binary())), st.lists(st.binary(max_size=4), max_size=3)),
}


@st.composite
def tables(draw: Any) -> pa.Table:
    """A few columns of every type that a table of files has, with NULLs."""
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4, unique=True))
    rows = draw(st.integers(1, 5))
    arrays = [
        pa.array([draw(st.none() | COLUMNS[name][1]) for _ in range(rows)], COLUMNS[name][0].type)
        for name in names
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema([COLUMNS[name][0] for name in names]))


def again(directory: Path, data: pa.Table, form: Form) -> pa.Table:
    """Written, and read back."""
    path = directory / "part"
    done = write(path, data.schema, [data], form)
    part = Part(
        name=f"part{form.suffix}",
        rows=done.rows,
        bytes=path.stat().st_size,
        longest=done.longest,
    )
    with path.open("rb") as file:
        return pa.concat_tables(read(file, part, data.schema))


def exact(data: pa.Table) -> list[Any]:
    """Values as they can be compared: each NaN is like another, and zeros have a sign."""

    def told(value: Any) -> Any:
        if isinstance(value, list):
            return [told(item) for item in value]
        return repr(value) if isinstance(value, float) else value

    return [[told(value) for value in column.to_pylist()] for column in data.columns]


@FORMS
@settings(max_examples=150, deadline=None)
@given(data=tables())
def test_any_table_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, form: Form, data: pa.Table
) -> None:
    """Law 7: nothing is altered by a spelling."""
    found = again(tmp_path_factory.mktemp("part"), data, form)

    assert found.schema.equals(data.schema)
    assert exact(found) == exact(data)


@FORMS
@pytest.mark.parametrize("case", KEPT, ids=lambda case: case.name)
def test_hard_values_are_read_back_as_they_were(tmp_path: Path, form: Form, case: Case) -> None:
    """Among them JSON's null beside NULL, and an empty text beside both."""
    found = again(tmp_path, case.table, form)

    assert exact(found) == exact(case.table)


def destination_in(root: Path, form: Form) -> Destination:
    writing = {"format": form.format.value, "compression": form.compression.value}
    return registry.get("files").open_destination({"url": root.as_uri(), "writing": writing})


def as_stream(root: Path) -> list[dict[str, Any]]:
    """What our own source reads, with the columns that the manifest tells to declare."""
    manifest = json.loads((root / DATASET / TABLE / "_manifest.json").read_text())
    stream = {
        "path": f"{DATASET}/{TABLE}/data/*",
        "columns": manifest["declare"],
        "misfits": "fail",
        "csv": {"empty_lines": True},
    }
    source = registry.get("files").open_source(
        {"url": root.as_uri(), "settle_seconds": 0, "streams": {"it": stream}}
    )
    with closing(source):
        selection = Selection(stream=source.stream("it"), mode=SyncMode.FULL)
        found: list[Any] = [b.data for b in source.read(selection, None, Encoding.ARROW)]
    return [record for data in found for record in data.to_pylist()]


@FORMS
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_our_source_reads_what_our_destination_wrote(
    tmp_path: Path, form: Form, case: Case
) -> None:
    """R58: the pair alters nothing; of JSON lines, JSON's null becomes NULL."""
    to = replace(UPSERT, schema=case.schema, cursor_field=None)
    expected = case.expected
    if form is JSONL and case.column.name == "document":
        expected = ["NULL" if one == "'null'" else one for one in expected]

    put_tables(destination_in(tmp_path, form), to, case.table)

    assert case.found(as_stream(tmp_path)) == expected


@pytest.mark.parametrize("values", [[None, "", "x", None], [None], [""]])
@FORMS
def test_a_record_of_one_empty_column_is_not_lost(
    tmp_path: Path, form: Form, values: list[str | None]
) -> None:
    schema = pa.schema([field("only", pa.string())])
    to = replace(
        UPSERT, schema=schema, write_mode=WriteMode.APPEND, primary_key=(), cursor_field=None
    )

    put_tables(destination_in(tmp_path, form), to, pa.table({"only": values}, schema=schema))

    back = destination_in(tmp_path, form).read_table(DATASET, TABLE)
    assert back.column("only").to_pylist() == values
    assert [record["only"] for record in as_stream(tmp_path)] == values


@FORMS
def test_a_record_that_is_longer_than_a_block_is_read_back(tmp_path: Path, form: Form) -> None:
    data = pa.table({"id": [1, 2, 3], "text": ["x" * 5_000_000, 'y"\n' * 1_000_000, "z"]})

    assert again(tmp_path, data, form).to_pylist() == data.to_pylist()


def test_an_object_that_lost_its_end_is_missed_loudly(tmp_path: Path) -> None:
    form = Form(format=FormatName.CSV)
    put(destination_in(tmp_path, form), UPSERT, row(1), row(2))
    [path] = (tmp_path / DATASET / TABLE / "data").iterdir()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))

    with pytest.raises(TransientError, match="has 1 records, and its manifest 2"):
        destination_in(tmp_path, form).read_table(DATASET, TABLE)


@FORMS
def test_the_same_records_make_the_same_bytes_at_any_time(
    tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retried commit writes the same object, not a second one."""
    data = pa.table({"id": [1, 2], "text": ["a", None]})
    write(tmp_path / "one", data.schema, [data], form)
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)

    write(tmp_path / "two", data.schema, [data], form)

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_table_may_change_its_format_on_the_way(tmp_path: Path) -> None:
    appending = replace(UPSERT, write_mode=WriteMode.APPEND)
    for number, form in enumerate([Form(), CSV, JSONL]):
        to = replace(appending, execution=f"execution {number}")
        put(destination_in(tmp_path, form), to, row(number))

    names = [path.name for path in (tmp_path / DATASET / TABLE / "data").iterdir()]
    assert sorted(name.partition(".")[2] for name in names) == ["csv.gz", "jsonl.zst", "parquet"]
    found = destination_in(tmp_path, CSV).read_table(DATASET, TABLE)
    assert sorted(found.column("id").to_pylist()) == [0, 1, 2]


def test_a_document_of_several_lines_stays_one_record_and_the_same(tmp_path: Path) -> None:
    schema = pa.schema([field("id", pa.int64()), field("d", pa.string(), logical=Logical.JSON)])
    to = replace(UPSERT, schema=schema, cursor_field=None)
    data = pa.table({"id": [1], "d": ['{\n "a":\r\n "b\\n" }']}, schema=schema)
    put_tables(destination_in(tmp_path, JSONL), to, data)

    again = put_tables(destination_in(tmp_path, JSONL), replace(to, execution="second"), data)

    assert (again.counts.created, again.counts.updated) == (0, 0)
    [found] = destination_in(tmp_path, JSONL).read_table(DATASET, TABLE).to_pylist()
    assert found["d"] == '{  "a":   "b\\n" }'


@pytest.mark.parametrize("document", ["Infinity", '{"a": NaN}', "{", "1 2", "", '1,"x":2'])
def test_a_document_that_is_no_json_does_not_make_a_table_unreadable(
    tmp_path: Path, document: str
) -> None:
    schema = pa.schema([field("id", pa.int64()), field("d", pa.string(), logical=Logical.JSON)])
    data = pa.table({"id": [1], "d": [document]}, schema=schema)

    with pytest.raises(ConfigError, match=r"'d' is no JSON.*parquet or csv"):
        write(tmp_path / "part", data.schema, [data], JSONL)

    assert again(tmp_path, data, CSV).to_pylist() == data.to_pylist()


@pytest.mark.parametrize(
    ("writing", "wrong"),
    [
        ({"format": "excel"}, "parquet, csv or jsonl"),
        ({"format": "parquet", "compression": "gzip"}, "packed by itself"),
        ({"format": "xml"}, "parquet"),
    ],
)
def test_a_way_of_writing_that_there_is_not_is_refused(writing: dict[str, str], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        registry.get("files").parse({"url": "s3://bucket", "writing": writing})


def test_what_no_text_can_spell_has_a_stated_spelling(tmp_path: Path) -> None:
    """As docs/how-to/files.md has them."""
    data = pa.table(
        {
            "none": pa.array([None], pa.string()),
            "empty": [""],
            "bytes": [b"\x00\xff"],
            "nan": [math.nan],
            "list": [["a", None]],
            "at": pa.array([datetime(2026, 1, 31, 12, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            "hour": [time(7, 30)],
        }
    )

    spelled = []
    for format in (FormatName.CSV, FormatName.JSONL):
        write(tmp_path / "part", data.schema, [data], Form(format=format))
        spelled.append((tmp_path / "part").read_text().splitlines()[-1])

    assert spelled == [
        r',"",\x00ff,nan,"[""a"",null]",2026-01-31T12:00:00.000000Z,07:30:00.000000',
        r'{"none":null,"empty":"","bytes":"\\x00ff","nan":"nan","list":["a",null],'
        r'"at":"2026-01-31T12:00:00.000000Z","hour":"07:30:00.000000"}',
    ]
