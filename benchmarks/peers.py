"""The peer that needs Python: psql writes CSV into a pipe, and DuckDB reads it."""

import json
import subprocess
from urllib.parse import urlsplit

import duckdb

from benchmarks.orders import CSV_COLUMNS, STREAM
from benchmarks.task import Task


def read_as_csv(task: Task) -> int:
    """The peer: psql writes CSV, DuckDB reads it into a table."""
    path = urlsplit(task.destination).path[1:]
    copy = f"COPY {STREAM} TO STDOUT (FORMAT csv)"
    with subprocess.Popen(
        [task.psql, "-X", task.source, "-c", copy], stdout=subprocess.PIPE
    ) as psql:
        assert psql.stdout is not None
        types = json.dumps(CSV_COLUMNS)
        with duckdb.connect(path) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(
                f"CREATE TABLE {STREAM} AS SELECT * FROM read_csv("
                f"'/dev/fd/{psql.stdout.fileno()}', header = false, columns = {types})"
            )
            row = connection.execute(f"SELECT count(*) FROM {STREAM}").fetchone()
    return int(row[0]) if row else 0
