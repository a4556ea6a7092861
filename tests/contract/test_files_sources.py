"""Files as a source keep the contract, in every kind of store and every format."""

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import openpyxl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from connectors import registry
from connectors.contract import Source
from connectors.testing.features import Feature
from connectors.testing.rows import Row, table
from connectors.testing.source_suite import SourceContract
from tests.contract.places import Place, place_on

pytest_plugins = ["tests.servers.fixtures"]

COLUMNS = {"id": "integer", "changed_at": "instant", "note": "text"}


def _csv(rows: Sequence[Row]) -> bytes:
    lines = ["id,changed_at,note"]
    for row in rows:
        at = "" if row.changed_at is None else row.changed_at.isoformat()
        lines.append(f"{row.id},{at},{'' if row.note is None else json.dumps(row.note)}")
    return "\n".join(lines).encode()


def _jsonl(rows: Sequence[Row]) -> bytes:
    records = [
        {"id": r.id, "changed_at": r.changed_at and r.changed_at.isoformat(), "note": r.note}
        for r in rows
    ]
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def _parquet(rows: Sequence[Row]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(table(*rows), file)
    return file.getvalue()


def _excel(rows: Sequence[Row]) -> bytes:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.append(["id", "changed_at", "note"])
    for row in rows:
        # Excel knows no zones, nor more than milliseconds: such times are written as text.
        at = None if row.changed_at is None else row.changed_at.isoformat()
        sheet.append([row.id, at, row.note])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


FORMATS = {
    "orders.csv": _csv,
    "orders.csv.gz": lambda rows: gzip.compress(_csv(rows)),
    "orders.csv.zst": lambda rows: bytes(pa.compress(_csv(rows), "zstd")),
    "orders.jsonl": _jsonl,
    "orders.jsonl.gz": lambda rows: gzip.compress(_jsonl(rows)),
    "orders.parquet": _parquet,
    "orders.xlsx": _excel,
}


class FilesSystem:
    """Each put is one more file; records change by coming again."""

    stream = "orders"

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.name = name
        self.files = 0

    def config(self) -> Mapping[str, Any]:
        streams = {
            "orders": {"path": f"in/**/*{self.name}", "columns": COLUMNS},
            "countries": {"path": "countries/*.csv", "columns": {"code": "text"}},
        }
        return {**self.place.config, "streams": streams, "settle_seconds": 0}

    def open(self) -> Source:
        return registry.get("files").open_source(self.config())

    def put(self, rows: Sequence[Row]) -> None:
        self.files += 1
        self.place.put(f"in/{self.files:03d} Größe/{self.name}", FORMATS[self.name](rows))


class FilesContract(SourceContract):
    lacks: ClassVar = {
        Feature.LAG: "what is new is told by the object, not by a record's own time",
        Feature.WINDOW: "a window bounds the objects' times; see tests/connectors",
        Feature.ROW_FILTER: "there is no language to ask a file in",
    }


@pytest.mark.parametrize("name", FORMATS)
class TestAFilesSourceOfEachFormat(FilesContract):
    @pytest.fixture
    def system(self, tmp_path: Path, name: str) -> FilesSystem:
        return FilesSystem(Place(config={"url": tmp_path.as_uri()}, directory=tmp_path), name)


@pytest.mark.parametrize("server", ["s3_server", "gcs_server", "azure_server", "sftp_server"])
class TestAFilesSourceInEachStore(FilesContract):
    @pytest.fixture
    def system(self, request: pytest.FixtureRequest, server: str) -> FilesSystem:
        return FilesSystem(place_on(request.getfixturevalue(server)), "orders.csv.gz")
