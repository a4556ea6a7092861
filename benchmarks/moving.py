"""Ours, through the connectors alone: one stream moved from one database to another."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import import_module
from uuid import uuid4

from benchmarks.declared import source_config
from benchmarks.orders import CURSOR, KEY, STREAM
from benchmarks.task import Task, Work
from connectors import registry
from connectors.contract import (
    Batch,
    Committed,
    Encoding,
    Selection,
    Source,
    State,
    Stream,
    SyncMode,
    Target,
    WriteMode,
)
from connectors.described import schema_of
from sync_pipelines.engine.move import move_stream
from sync_pipelines.engine.plan import StreamPlan
from sync_pipelines.engine.progress import Progress


def warm_up(task: Task) -> None:
    """Import what the work will need, as a warm process has."""
    modules = [f"connectors.sql.{name}" for name in ("source", "writer")]
    modules += ["connectors.sql.postgres.reader", "connectors.sql.postgres.writer"]
    to_duckdb = task.destination.startswith("duckdb:")
    if to_duckdb:
        modules.append("connectors.sql.duckdb.writer")
    if task.work is Work.FILE:
        modules += ["connectors.files.source", "connectors.files.local"]
        modules += [f"connectors.files.formats.{name}" for name in ("csv", "jsonl", "parquet")]
    if task.arrow or task.work is Work.FILE:
        modules += ["connectors.sql.postgres.encode", "connectors.sql.postgres.ingest"]
    if task.arrow or to_duckdb:
        modules += ["adbc_driver_manager.dbapi", "adbc_driver_postgresql"]
    for module in modules:
        import_module(module)


@dataclass(frozen=True, slots=True)
class ArrowOnly:
    """A source that keeps its faster encodings to itself."""

    source: Source

    def check(self) -> str:
        return self.source.check()

    def discover(self) -> Sequence[Stream]:
        return self.source.discover()

    def stream(self, name: str) -> Stream:
        return self.source.stream(name)

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        return self.source.read(selection, state, encoding)

    def close(self) -> None:
        self.source.close()


class NoMirror:
    """Nobody watches."""

    def opened(self, committed: Committed) -> None:
        """Not shown anywhere."""

    def committed(self, committed: Committed) -> None:
        """Not shown anywhere."""


def copied(task: Task) -> int:
    """Open both ends, move the stream once, close; how many records arrived."""
    connector = registry.get("database")
    source = connector.open_source({"url": task.source})
    source = ArrowOnly(source) if task.arrow else source
    destination = connector.open_destination({"url": task.destination})
    with closing(source), closing(destination):
        plan = planned(task, source.stream(STREAM))
        return move_stream(source, destination, plan, Progress(), NoMirror()).counts.processed


def file_copied(task: Task) -> int:
    """One file into a new table, with the file's own columns; how many records arrived."""
    source = registry.get("files").open_source(source_config(task.source))
    destination = registry.get("database").open_destination({"url": task.destination})
    with closing(source), closing(destination):
        offered = source.stream(STREAM)
        own = [one for one in offered.schema if not one.name.startswith("_")]
        plan = planned(task, replace(offered, schema=schema_of(own)))
        return move_stream(source, destination, plan, Progress(), NoMirror()).counts.processed


def planned(task: Task, stream: Stream) -> StreamPlan:
    mode = SyncMode.INCREMENTAL if task.incremental else SyncMode.FULL
    return StreamPlan(
        selection=Selection(stream=stream, mode=mode, row_filter=task.row_filter),
        target=Target(
            owner="bench/orders",
            stream=STREAM,
            execution=str(uuid4()),
            dataset=task.dataset,
            table=STREAM,
            schema=stream.schema,
            write_mode=WriteMode.UPSERT if task.incremental else WriteMode.REPLACE,
            primary_key=(KEY,),
            cursor_field=CURSOR,
            complete=not task.incremental,
            distinct=task.incremental,
        ),
    )
