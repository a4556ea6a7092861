"""Files into PostgreSQL: one object of each format, against ``zcat | psql`` of the same CSV."""

import gzip
import json
import subprocess
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from benchmarks import orders
from benchmarks.case import Budget, Case, Contender, Size, WrongDataError
from benchmarks.place import Place
from benchmarks.processes import child, pipeline
from benchmarks.task import Task, Work
from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode
from connectors.described import arrow_schema

PEER = "zcat_psql"

NAMES = {"csv": "orders.csv.gz", "jsonl": "orders.jsonl.gz", "parquet": "orders.parquet"}


def files(place: Place, size: Size) -> Case:
    """A whole object into a new table, and the memory of doing so."""
    made = place.scratch / "files"
    made.mkdir(exist_ok=True)
    _write(place, made)
    budget = Budget(ratio=1.0, own_mb=250)
    read = ["zcat", str(made / NAMES["csv"])]
    write = [
        place.psql,
        "-X",
        place.target,
        "-c",
        f"COPY {PEER}.orders FROM STDIN (FORMAT csv, HEADER)",
    ]
    return Case(
        name="files",
        title="A file into PostgreSQL",
        rows=size.rows,
        contenders=[
            Contender(
                name=PEER,
                run=partial(pipeline, read, write),
                prepare=partial(_fresh, place, PEER, made=True),
            ),
            *(
                Contender(
                    name=name,
                    run=partial(child, _task(place, made, name), watch_memory=True),
                    prepare=partial(_fresh, place, f"of_{name}", made=False),
                    budget=budget,
                )
                for name in NAMES
            ),
        ],
        before_round=lambda: None,
        check=partial(_compare, place),
    )


def _task(place: Place, made: Path, name: str) -> Task:
    return Task(
        work=Work.FILE,
        source=str(made / NAMES[name]),
        destination=place.target,
        dataset=f"of_{name}",
    )


def _write(place: Place, made: Path) -> None:
    copy = (
        f"COPY (SELECT * FROM {orders.STREAM} ORDER BY {orders.KEY}) TO STDOUT (FORMAT csv, HEADER)"
    )
    command = [place.psql, "-X", place.source, "-c", "SET TimeZone = 'UTC'", "-c", copy]
    # Of the first statement psql prints a word.
    csv = f"{' '.join(map(_quoted, command))} | tail -n +2 | gzip -1 > {made / NAMES['csv']}"
    subprocess.run(["sh", "-c", csv], check=True)
    source = registry.get("database").open_source({"url": place.source})
    with closing(source), gzip.open(made / NAMES["jsonl"], "wb", 1) as lines:
        stream = source.stream(orders.STREAM)
        schema = arrow_schema(stream.schema)
        total = schema.get_field_index("total")
        exact = schema.set(total, pa.field("total", pa.decimal128(12, 2)))
        selection = Selection(stream=stream, mode=SyncMode.FULL)
        with parquet.ParquetWriter(made / NAMES["parquet"], exact) as writer:
            for batch in source.read(selection, None, Encoding.ARROW):
                assert isinstance(batch.data, pa.Table)
                writer.write_table(batch.data.cast(exact))
                lines.write("".join(map(_line, batch.data.to_pylist())).encode())


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _line(record: Mapping[str, object]) -> str:
    """One record; numbers and documents stay as they are spelled."""
    parts = []
    for name, value in record.items():
        raw = value is not None and name in ("total", "meta")
        spelled = str(value) if raw else json.dumps(value, default=str, ensure_ascii=False)
        parts.append(f'"{name}":{spelled}')
    return "{" + ",".join(parts) + "}\n"


def _fresh(place: Place, schema: str, *, made: bool) -> None:
    orders.drop(place.target, schema)
    if made:
        orders.create_empty(place.target, schema)
    orders.checkpoint(place.target)


def _compare(place: Place) -> None:
    wanted = orders.fingerprint(place.source, "public")
    for schema in (PEER, *(f"of_{name}" for name in NAMES)):
        found = orders.fingerprint(place.target, schema)
        if found != wanted:
            raise WrongDataError(f"{schema} has {found}, its source {wanted}")
