"""A million records of each format are read in memory that does not grow with them."""

import gzip
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

ROWS = 1_000_000
MOST_MB = 250

READ = """
import sys
from pathlib import Path
from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode

path = Path(sys.argv[1])
source = registry.get("files").open_source(
    {"url": path.parent.as_uri(), "settle_seconds": 0, "streams": {"a": {"path": path.name}}}
)
selection = Selection(stream=source.stream("a"), mode=SyncMode.FULL)
rows = sum(b.data.num_rows for b in source.read(selection, None, Encoding.ARROW))
peak = next(l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l)
print(rows, int(peak.split()[1]) // 1024)
"""


def _csv(path: Path) -> None:
    with gzip.open(path, "wb", 1) as file:
        file.write(b"id,name,at\n")
        for first in range(0, ROWS, 10_000):
            lines = (
                f"{n},customer number {n},2026-01-01 00:00:00+00\n"
                for n in range(first, first + 10_000)
            )
            file.write("".join(lines).encode())


def _jsonl(path: Path) -> None:
    with gzip.open(path, "wb", 1) as file:
        for first in range(0, ROWS, 10_000):
            lines = (
                f'{{"id":{n},"name":"customer number {n}","price":{n}.5,"meta":{{"n":[{n}]}}}}\n'
                for n in range(first, first + 10_000)
            )
            file.write("".join(lines).encode())


def _parquet(path: Path) -> None:
    numbers = pa.array(range(ROWS), pa.int64())
    texts = pa.array([f"customer number {n}" for n in range(ROWS)], pa.string())
    parquet.write_table(pa.table({"id": numbers, "name": texts}), path)


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv.gz", _csv), ("a.jsonl.gz", _jsonl), ("a.parquet", _parquet)]
)
def test_a_million_records_are_read_in_bounded_memory(tmp_path: Path, name: str, write) -> None:
    """R58, by what the reading process has held at the most."""
    write(tmp_path / name)

    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / name)],
        check=True,
        capture_output=True,
        text=True,
    )

    rows, peak = map(int, done.stdout.split())
    assert rows == ROWS
    assert peak <= MOST_MB
