"""How late executions are claimed by the real dispatcher: Dagster's daemon, with our definitions.

The code server and the daemon run as `up` runs them, on a catalog of thousands of schedules
of which many are due in one minute. An execution counts as claimed when another connection
sees it, so that no transaction of the dispatcher is left out. No run is launched: that is
measured elsewhere, and would take the processors.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from uuid import UUID

import yaml
from sqlalchemy import select, text

from benchmarks.dispatching import START, TENANTS, furnish
from benchmarks.running import SHIPPED, process
from benchmarks.task import Task
from sync_pipelines.catalog import heartbeats
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.engine.signs import DISPATCH_EVENTS
from sync_pipelines.runtime.launching import LOCATION
from sync_pipelines.runtime.up import DEFINITIONS
from sync_pipelines.runtime.waiting import wait_until

POLL_SECONDS = 0.02
START_SECONDS = 120
LATEST_SECONDS = 90
LEAST_AHEAD = timedelta(seconds=5)
"""The minute begins no sooner than so long after everything is prepared."""

_DUE = """
UPDATE sync.sync_schedules
SET schedule_type = 'every', config = '{"cadence": {"type": "every", "minutes": 60}}',
    timezone = 'UTC', created_at = CAST(:at AS timestamptz) - interval '90 days',
    decided_until = CASE WHEN next_run_at = :now THEN :before ELSE :at END,
    next_run_at = CASE WHEN next_run_at = :now THEN :at ELSE :later END
"""


def lateness(task: Task) -> list[float]:
    """The seconds from due to claimed of each of ``task.due`` executions."""
    with closing(open_catalog(task.catalog, SecretBox((new_key(),)))) as catalog:
        furnish(catalog, schedules=max(task.due * 10, TENANTS), due=0)
        with _dispatcher(Path(task.destination), task.catalog):
            if not wait_until(lambda: _is_awake(catalog), seconds=START_SECONDS):
                raise RuntimeError("the dispatcher gives no sign of life")
            furnish(catalog, schedules=max(task.due * 10, TENANTS), due=task.due)
            due_at = _make_due(catalog)
            return [
                (claimed - due_at).total_seconds() for claimed in _claimed(catalog, due_at, task)
            ]


def _is_awake(catalog: Catalog) -> bool:
    with catalog.begin() as db:
        return heartbeats.read(db, DISPATCH_EVENTS) is not None


def _make_due(catalog: Catalog) -> datetime:
    """What is due is so at the next minute; which that is."""
    now = datetime.now(UTC) + LEAST_AHEAD
    at = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    values = {
        "at": at,
        "now": START,
        "before": at - timedelta(microseconds=1),
        "later": at + timedelta(hours=1),
    }
    with catalog.begin() as db:
        db.execute(text(_DUE), values)
    return at


def _claimed(catalog: Catalog, due_at: datetime, task: Task) -> list[datetime]:
    """When each execution of that minute was first seen."""
    seen: dict[UUID, datetime] = {}
    wait = (due_at - datetime.now(UTC)).total_seconds()
    given_up = monotonic() + wait + LATEST_SECONDS
    sleep(max(wait, 0))
    query = select(ExecutionRow.id).where(ExecutionRow.due_at == due_at)
    while len(seen) < task.due:
        if monotonic() > given_up:
            raise RuntimeError(f"only {len(seen)} of {task.due} executions were claimed")
        with catalog.begin() as db:
            found = list(db.scalars(query))
        now = datetime.now(UTC)
        for execution_id in found:
            seen.setdefault(execution_id, now)
        sleep(POLL_SECONDS)
    return list(seen.values())


@contextmanager
def _dispatcher(home: Path, database: str) -> Iterator[None]:
    """Dagster's code server and daemon, as they are shipped, but with no slot for a run."""
    home.mkdir(parents=True)
    os.environ |= {
        "SYNC_HOME": str(home),
        "DAGSTER_HOME": str(home),
        "SYNC_DATABASE_URL": database,
    }
    shipped = yaml.safe_load(SHIPPED.read_text())
    shipped["concurrency"]["runs"]["max_concurrent_runs"] = 0
    (home / "dagster.yaml").write_text(yaml.safe_dump(shipped))
    code = home / "code.sock"
    server = {"grpc_server": {"socket": str(code), "location_name": LOCATION}}
    workspace = home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [server]}))
    serve = ["dagster", "api", "grpc", "--socket", str(code)]
    serve += ["--module-name", DEFINITIONS, "--location-name", LOCATION]
    daemon = ["dagster._daemon", "run", "--workspace", str(workspace)]
    with ExitStack() as stack:
        stack.enter_context(process(serve, code.exists, os.environ))
        stack.enter_context(process(daemon, lambda: True, os.environ))
        yield
