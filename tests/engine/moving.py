"""A source and a destination in memory, and executions that move data between them."""

from dataclasses import dataclass, field

import pyarrow as pa
from pydantic import BaseModel

from connectors import registry
from connectors.arrow import field as column
from connectors.contract import Stream, SyncMode, WriteMode
from connectors.testing.memory import (
    MemoryDestination,
    MemorySource,
    MemoryStore,
    MemoryStream,
    Script,
)
from sync_pipelines.catalog import history as histories
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.execution import Request
from sync_pipelines.model.sync import SyncStream

SCHEMA = pa.schema(
    [column("id", pa.int64()), column("seq", pa.int64()), column("note", pa.string())]
)

UPSERT = SyncStream(
    name="orders",
    sync_mode=SyncMode.INCREMENTAL,
    write_mode=WriteMode.UPSERT,
    cursor_field="seq",
)


class NoConfig(BaseModel):
    """The memory connector needs none."""


def stream(name="orders", rows=3, ordered=False):
    offered = Stream(
        name=name, schema=SCHEMA, primary_key=("id",), cursor_field="seq", ordered=ordered
    )
    records = [{"id": n, "seq": n, "note": f"{name} {n}"} for n in range(1, rows + 1)]
    return MemoryStream(offered, list(records))


@dataclass
class Systems:
    """A source and a destination in memory, and the scripts of their faults."""

    streams: list[MemoryStream] = field(default_factory=lambda: [stream()])
    store: MemoryStore = field(default_factory=MemoryStore)
    reading: Script = field(default_factory=Script)
    writing: Script = field(default_factory=Script)

    def connector(self, name):
        return registry.Connector(
            name=name,
            title="Memory",
            config=NoConfig,
            source=lambda _: MemorySource(self.streams, script=self.reading),
            destination=lambda _: MemoryDestination(store=self.store, script=self.writing),
        )

    def rows(self, table="orders"):
        return sorted(
            (row["id"], row["seq"], row["note"])
            for row in self.store.records("orders", table) or ()
        )


def run(world, engine, sync, **request):
    identity = trigger(
        world.catalog, sync, now=world.clock(), request=Request(**request), queued=True
    )
    return engine.run(identity, attempt=1, run_id="run-1")


def entry(world, sync):
    with world.catalog.begin() as db:
        (found, *_) = histories.history(db, sync.id, tenant_id=sync.tenant_id)
    return found
