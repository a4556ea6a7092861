"""A minute in which very many syncs are due and none finds anything new: `up`, as shipped.

Dagster as it comes gets the same definitions, and launches and stores its runs by itself.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import psycopg
import yaml
from dagster import DagsterInstance
from pydantic import SecretStr
from sqlalchemy import text

from benchmarks import running
from benchmarks.dispatching import WIPE
from benchmarks.task import Measure, Task, peak_mb
from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog import syncs
from sync_pipelines.catalog.schedules import put_schedule
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.run import Engine
from sync_pipelines.model.cadence import parse_cadence
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Connection, Sync, SyncStream
from sync_pipelines.runtime.launching import LOCATION
from sync_pipelines.runtime.session import open_session
from sync_pipelines.runtime.up import DEFINITIONS, run_up
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.settings import Settings

TENANTS = 20
"""More than are needed to fill the machine, so that no tenant's own limit is what bounds it."""
PORT = 3900
PATIENCE_SECONDS = 900.0
TABLE = "rush_items"

_SOURCE = f"""
DROP TABLE IF EXISTS {TABLE};
CREATE TABLE {TABLE} (id int PRIMARY KEY, updated_at timestamptz NOT NULL);
INSERT INTO {TABLE} SELECT n, now() FROM generate_series(1, 10) n;
"""
_ENDED = """
SELECT count(*), count(*) FILTER (WHERE status = 'completed'),
       extract(epoch FROM max(completed_at) - %s)::float
  FROM sync.sync_executions WHERE schedule_id IS NOT NULL AND completed_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Rush:
    """What has come of it: how many executions have ended, completed, and when the last did."""

    ended: int
    completed: int
    seconds: float


def rushed(task: Task) -> Measure:
    """From the minute in which all are due until the last has finished."""
    home = Path(task.destination)
    settings = Settings(
        home=home, database_url=SecretStr(task.catalog), secret_key=None, dagster_port=PORT
    )
    prepare(task)
    with open_session(settings) as opened:
        made = synced_once(opened.catalog, task, number=task.due)
    found: list[Rush] = []

    def ready() -> None:
        with open_session(settings) as opened:
            due_at = _all_due(opened.catalog, made)
        found.append(_waited(task, due_at))

    if task.stock:
        with _dagster_as_it_comes(task):
            ready()
    else:
        run_up(settings, on_ready=lambda _: ready(), once=True, say=lambda _: None)
    if not found:
        raise RuntimeError("stopped before all were due")
    (rush,) = found
    if rush.completed < task.due:
        raise RuntimeError(f"{rush.completed} of {task.due} syncs were completed in time")
    rate = task.due / rush.seconds * 60
    return Measure(
        seconds=rush.seconds,
        cpu_seconds=0.0,
        peak_mb=peak_mb(),
        figures={
            "until the last has finished, s": rush.seconds,
            "the same for 1,000, s": rush.seconds / task.due * 1000,
            "syncs a minute": rate,
        },
    )


@contextmanager
def _dagster_as_it_comes(task: Task) -> Iterator[None]:
    """A code server and a daemon, once its scheduler lives."""
    environment = running.prepare(task)
    home = Path(task.destination)
    code, workspace = home / "code.sock", home / "workspace.yaml"
    server = {"socket": str(code), "location_name": LOCATION}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    serve = ["dagster", "api", "grpc", "--socket", str(code), "--module-name", DEFINITIONS]
    daemon = ["dagster._daemon", "run", "--workspace", str(workspace)]
    os.environ |= environment
    with (
        DagsterInstance.get() as instance,
        running.process([*serve, "--location-name", LOCATION], code.exists, environment),
        running.process(
            daemon,
            lambda: instance.get_daemon_statuses(["SCHEDULER"])["SCHEDULER"].healthy is True,
            environment,
        ),
    ):
        yield


def prepare(task: Task) -> None:
    """Make the table that the syncs read."""
    with psycopg.connect(task.source, autocommit=True) as connection:
        connection.execute(_SOURCE)


def synced_once(catalog: Catalog, task: Task, *, number: int) -> Sequence[Sync]:
    """So many syncs, and no others, that have all they want, each in a dataset of its own."""
    with catalog.begin() as db:
        db.execute(text(WIPE))
    engine = Engine(catalog=catalog, rng=Random(7))
    made = []
    for which in range(number):
        sync = _made(catalog, task, which)
        execution = trigger(catalog, sync, now=system_clock(), queued=True)
        report = engine.run(execution, attempt=1, run_id=str(uuid4()))
        if report.outcome.failure is not None:
            raise RuntimeError(report.outcome.failure.message)
        made.append(sync)
    return made


def _made(catalog: Catalog, task: Task, number: int) -> Sync:
    tenant, now = f"rush-{number % TENANTS}", system_clock()
    stream = SyncStream(
        name=TABLE,
        sync_mode=SyncMode.INCREMENTAL,
        write_mode=WriteMode.UPSERT,
        cursor_field="updated_at",
    )
    with catalog.begin() as db:
        tenant_id = syncs.put_tenant(db, tenant)
        ends: list[Connection] = []
        for name, url in (("source", task.source), ("destination", task.target)):
            syncs.put_connection(
                db,
                tenant_id,
                name=name,
                connector="database",
                config={},
                sealed=catalog.secrets.seal({"url": url}),
                key_id=catalog.secrets.key_id,
                now=now,
            )
            ends.append(syncs.find_connection(db, catalog.secrets, f"{tenant}/{name}"))
        sync = Sync(
            id=uuid4(),
            tenant_id=tenant_id,
            tenant=tenant,
            name=f"items-{number}",
            source=ends[0],
            destination=ends[1],
            dataset=f"rush_{number}",
            streams=(stream,),
        )
        syncs.put_sync(db, tenant_id, sync=sync, description=None, now=now)
        return syncs.find_sync(db, catalog.secrets, sync.key)


def _all_due(catalog: Catalog, made: Sequence[Sync]) -> datetime:
    """Give each sync a schedule, due at the next full minute, or the one after; when that is."""
    now = system_clock()
    due_at = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    if due_at - now < timedelta(seconds=10):
        due_at += timedelta(minutes=1)
    cadence = parse_cadence({"type": "hourly", "minute": due_at.minute})
    with catalog.begin() as db:
        for sync in made:
            schedule = Schedule(
                id=uuid4(),
                tenant_id=sync.tenant_id,
                sync_id=sync.id,
                name="main",
                cadence=cadence,
                created_at=now,
                decided_until=due_at - timedelta(microseconds=1),
                next_run_at=due_at,
            )
            put_schedule(db, schedule, now=now)
    return due_at.astimezone(UTC)


def _waited(task: Task, due_at: datetime) -> Rush:
    with closing(psycopg.connect(task.catalog, autocommit=True)) as connection:
        rush = Rush(0, 0, 0.0)

        def is_over() -> bool:
            nonlocal rush
            row = connection.execute(_ENDED, [due_at]).fetchone()
            rush = Rush(*row) if row else rush
            return rush.ended >= task.due

        wait_until(is_over, seconds=PATIENCE_SECONDS, every=0.5)
        return rush
