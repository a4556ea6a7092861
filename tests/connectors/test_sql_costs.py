"""What reading a database costs: memory that does not grow, and no time where nothing is new."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

from connectors.contract import Encoding, Selection, State, SyncMode
from connectors.registry import get

_MEMORY = """
import sys, resource
from connectors.contract import Encoding, Selection, SyncMode
from connectors.registry import get
url, encoding = sys.argv[1:3]
source = get("database").open_source({"url": url})
def run(name):
    selection = Selection(stream=source.stream(name), mode=SyncMode.INCREMENTAL, batch_rows=5_000)
    rows = 0
    for batch in source.read(selection, None, Encoding(encoding)):
        data = batch.data
        rows += len(data) if encoding == "arrow" else sum(map(len, data.chunks))
    return rows
run("small")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = run("large")
print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["arrow", "pgcopy", "sqlite", "duckdb"])
def test_memory_does_not_grow_with_the_rows(postgres_url: str, tmp_path: Path, kind: str):
    """R58, R81: ten times the rows of a run that has reached its size, in the same memory."""
    url = f"{kind}:///{tmp_path}/m.db" if kind in ("sqlite", "duckdb") else postgres_url
    rows = {"small": 30_000, "large": 300_000}
    for name, count in rows.items():
        _numbered(url, name, count)

    encoding = "pgcopy" if kind == "pgcopy" else "arrow"
    command = [sys.executable, "-c", _MEMORY, url, encoding]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    read_rows, grown_kib = map(int, done.stdout.split())

    assert read_rows >= rows["large"]
    assert grown_kib < 16_000  # the rows themselves are 60 MB and more


def _numbered(url: str, name: str, count: int) -> None:
    """A table of ``count`` rows of 200 bytes."""
    columns = "(id bigint, updated_at timestamp, note text)"
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as pg:
            pg.execute(f"DROP TABLE IF EXISTS {name}; CREATE TABLE {name} {columns}".encode())
            source = f"generate_series(1, {count}) g"
            select = f"SELECT g, timestamp '2026-01-01' + g * interval '1 s', {_NOTE} FROM {source}"
            pg.execute(f"INSERT INTO {name} {select}".encode())
            pg.execute(f"CREATE INDEX ON {name} (updated_at)".encode())
    elif url.startswith("duckdb"):
        with duckdb.connect(url.removeprefix("duckdb:///")) as duck:
            source = f"range({count}) r(g)"
            stamp = "TIMESTAMP '2026-01-01' + to_seconds(g)"
            duck.execute(
                f"CREATE TABLE {name} AS SELECT g AS id, {stamp} AS updated_at, "
                f"{_NOTE} AS note FROM {source}"
            )
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as lite:
            lite.execute(f"CREATE TABLE {name} {columns}")
            stamps = (
                (n, str(datetime.fromtimestamp(n, UTC))[:19], "x" * 200) for n in range(count)
            )
            lite.executemany(f"INSERT INTO {name} VALUES (?, ?, ?)", stamps)
            lite.execute(f"CREATE INDEX i_{name} ON {name} (updated_at)")
            lite.commit()


_NOTE = "repeat('x', 200)"


@pytest.mark.parametrize("encoding", [Encoding.PGCOPY, Encoding.ARROW])
def test_finding_nothing_new_takes_milliseconds(postgres_url: str, encoding: Encoding):
    """The budget of a whole sync that changes nothing is 20 ms in a warm process."""
    _numbered(postgres_url, "quiet", 20_000)
    state = State(version=1, value={"watermark": "2026-01-01 05:33:20"})
    spent = []
    for _ in range(8):
        began = time.perf_counter()
        with closing(get("database").open_source({"url": postgres_url})) as source:
            selection = Selection(stream=source.stream("quiet"), mode=SyncMode.INCREMENTAL)
            for batch in source.read(selection, state, encoding):
                assert isinstance(batch.data, pa.Table) or list(batch.data.chunks)
        spent.append(time.perf_counter() - began)

    assert min(spent) < 0.04, spent
