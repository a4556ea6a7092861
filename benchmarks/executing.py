"""Ours, whole: executions of a sync, run by the engine with its catalog."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from random import Random
from uuid import uuid4

from benchmarks.orders import CURSOR, STREAM
from benchmarks.task import Task
from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog import syncs
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.sync import Sync, SyncStream


@contextmanager
def executing(task: Task, *, times: int) -> Iterator[Callable[[], int]]:
    """A function that runs the next of so many executions: `Engine.run`, and nothing else."""
    with closing(open_catalog(task.catalog, SecretBox((new_key(),)))) as catalog:
        engine = Engine(catalog=catalog, rng=Random(7))
        sync = configured(task, catalog)
        asked = [trigger(catalog, sync, now=system_clock(), queued=True) for _ in range(times)]

        def run() -> int:
            report = engine.run(asked.pop(), attempt=1, run_id=str(uuid4()))
            if report.outcome.failure is not None:
                raise RuntimeError(report.outcome.failure.message)
            return sum(result.counts.processed for result in report.results)

        yield run


def configured(task: Task, catalog: Catalog) -> Sync:
    """A tenant with one sync of one stream."""
    now = system_clock()
    stream = SyncStream(
        name=STREAM,
        sync_mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.UPSERT,
        cursor_field=CURSOR,
    )
    with catalog.begin() as db:
        tenant_id = syncs.put_tenant(db, "bench")
        for name, url in (("source", task.source), ("destination", task.destination)):
            sealed = catalog.secrets.seal({"url": url})
            syncs.put_connection(
                db,
                tenant_id,
                name=name,
                connector="database",
                config={},
                sealed=sealed,
                key_id=catalog.secrets.key_id,
                now=now,
            )
        ends = [
            syncs.find_connection(db, catalog.secrets, f"bench/{name}")
            for name in ("source", "destination")
        ]
        sync = Sync(
            id=uuid4(),
            tenant_id=tenant_id,
            tenant="bench",
            name="orders",
            source=ends[0],
            destination=ends[1],
            dataset=task.dataset,
            streams=(stream,),
        )
        syncs.put_sync(db, tenant_id, sync=sync, description=None, now=now)
        return syncs.find_sync(db, catalog.secrets, sync.key)
