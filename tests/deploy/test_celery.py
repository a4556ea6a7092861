"""Two Celery workers on a real Redis, one of which is killed in the middle of its work."""

import signal
import sqlite3
from collections import defaultdict
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise

import pytest
import structlog
import yaml
from dagster import DagsterEventType, DagsterRunStatus
from typer.testing import CliRunner

from sync_pipelines.catalog.history import history
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.syncs import list_syncs
from sync_pipelines.cli import app
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.execution import Status
from sync_pipelines.runtime.waiting import wait_until
from tests.deploy import redis
from tests.deploy.cluster import Cluster

pytestmark = [pytest.mark.long, pytest.mark.processes, pytest.mark.timeout(420)]

TENANTS = ("acme", "globex", "initech", "umbrella", "wonka")
SYNCS = 10
"""Of each tenant."""
ROWS = 40
HELD = "-2"
"""How the name of a sync ends that finds its destination busy."""


@pytest.fixture
def cluster(tmp_path, empty_postgres_url, monkeypatch, pytestconfig):
    pytest.importorskip("dagster_celery", reason="the extra 'celery' is not installed")
    with redis.running(pytestconfig.cache.mkdir("redis"), tmp_path) as port:
        made = Cluster(
            directory=tmp_path,
            broker=f"redis://127.0.0.1:{port}",
            database_url=empty_postgres_url,
            secret_key=new_key(),
        )
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        made.configure()
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def catalog_of(cluster):
    catalog = open_catalog(cluster.database_url, SecretBox((cluster.secret_key,)))
    try:
        yield catalog
    finally:
        catalog.close()


def apply_syncs(directory):
    """Fifty syncs, each from a file into a file: a SQLite file bears one of them at a time."""
    for tenant in TENANTS:
        for number in range(SYNCS):
            file = directory / f"{tenant}-{number}-from.db"
            with closing(sqlite3.connect(file)) as source, source:
                source.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v TEXT)")
                source.executemany(f"INSERT INTO t{number} VALUES (?, ?)", rows(tenant, number))
        manifest = directory / f"{tenant}.yaml"
        manifest.write_text(yaml.safe_dump(manifest_of(tenant, directory)))
        done = CliRunner().invoke(app, ["apply", "-f", str(manifest)])
        assert done.exit_code == 0, done.output
    structlog.reset_defaults()


def rows(tenant, number):
    return [(i, f"{tenant} {number} {i}") for i in range(1, ROWS + 1)]


def manifest_of(tenant, directory):
    """Appending: a record that arrived twice would be there twice."""
    connections, syncs = {}, {}
    for number in range(SYNCS):
        for name in (f"{tenant}-{number}-from", f"{tenant}-{number}"):
            url = f"sqlite:///{directory}/{name}.db"
            connections[name] = {"connector": "database", "config": {"url": url}}
        stream = {"name": f"t{number}", "sync_mode": "incremental", "cursor_field": "id"}
        syncs[f"{tenant}-{number}"] = {
            "source": f"{tenant}-{number}-from",
            "destination": f"{tenant}-{number}",
            "dataset": "main",
            "streams": [stream | {"write_mode": "append"}],
            "retry": {"max_attempts": 5, "initial": "1s"},
        }
    return {"tenant": tenant, "connections": connections, "syncs": syncs}


def trigger_all(catalog):
    with catalog.begin() as db:
        syncs = [sync for name in TENANTS for sync in list_syncs(db, catalog.secrets, name)]
    for sync in syncs:
        trigger(catalog, sync, now=system_clock())
    return syncs


def entries_of(catalog, syncs):
    with catalog.begin() as db:
        return [entry for sync in syncs for entry in history(db, sync.id, tenant_id=sync.tenant_id)]


def keys(entries, status):
    return {entry.execution.sync_key for entry in entries if entry.execution.status is status}


@contextmanager
def busy(directory):
    """One destination of each tenant, held by somebody who writes to it: its sync waits."""
    with ExitStack() as held:
        for tenant in TENANTS:
            file = directory / f"{tenant}{HELD}.db"
            connection = sqlite3.connect(file, isolation_level=None)
            held.enter_context(closing(connection)).execute("BEGIN IMMEDIATE")
        yield


def runs_in(pids, entries, instance):
    """The Dagster runs under way in these processes, as what each wrote first tells."""
    running = [e.execution.run_id for e in entries if e.execution.status is Status.RUNNING]
    return {
        run_id
        for run_id in running
        for event in instance.all_logs(run_id, of_type=DagsterEventType.LOGS_CAPTURED)
        for pid in pids
        if f"(pid: {pid})" in event.message
    }


def is_in_the_middle(entries, cluster, instance):
    """Whether some syncs are done, and one of those that wait is in the worker to be killed."""
    held = [entry for entry in entries if entry.execution.sync_key.endswith(HELD)]
    done = keys(entries, Status.COMPLETED)
    return bool(done and runs_in(cluster.pids("one"), held, instance))


def arrived(directory, sync):
    with closing(sqlite3.connect(directory / f"{sync.name}.db")) as connection:
        table = f"main__{sync.streams[0].name}"
        return connection.execute(f"SELECT id, v FROM {table} ORDER BY id").fetchall()


def overlapping(records):
    """Syncs of which a run began before the one before it had ended."""
    spans = defaultdict(list)
    for record in records:
        if record.start_time is not None:
            sync = record.dagster_run.tags["dagster/partition"]
            spans[sync].append((record.start_time, record.end_time))
    return [
        sync
        for sync, found in spans.items()
        for (_, ended), (began, _) in pairwise(sorted(found))
        if ended is None or began < ended
    ]


def test_of_fifty_syncs_none_is_lost_or_doubled_when_one_of_two_workers_is_killed(cluster):
    """Two workers, fifty syncs; one worker dies by SIGKILL with what it runs."""
    apply_syncs(cluster.directory)
    cluster.start(definitions="tests.deploy.impatient")
    with catalog_of(cluster) as catalog, cluster.instance() as instance:
        with busy(cluster.directory):
            syncs = trigger_all(catalog)
            assert wait_until(
                lambda: is_in_the_middle(entries_of(catalog, syncs), cluster, instance),
                seconds=90,
            ), cluster.logs()
            # Held still first: what is under way now is under way when it is killed.
            cluster.signal("one", signal.SIGSTOP)
            before = entries_of(catalog, syncs)
            lost = runs_in(cluster.pids("one"), before, instance)
            cluster.signal("one", signal.SIGKILL)

        everything = {sync.key for sync in syncs}
        settled = wait_until(
            lambda: keys(entries_of(catalog, syncs), Status.COMPLETED) == everything, seconds=100
        )
        entries = entries_of(catalog, syncs)
        records = instance.get_run_records()

    assert settled, f"{keys(entries, Status.COMPLETED) ^ everything}\n{cluster.logs()}"
    assert len(entries) == len(syncs) == 50
    assert lost
    assert keys(before, Status.COMPLETED)
    ended = {attempt["run_id"]: attempt for entry in entries for attempt in entry.attempts}
    assert {ended[run_id]["error_class"] for run_id in lost} == {"lost"}
    assert {
        record.dagster_run.status for record in records if record.dagster_run.run_id in lost
    } == {DagsterRunStatus.FAILURE}
    for sync in syncs:
        number = int(sync.name.rpartition("-")[2])
        assert arrived(cluster.directory, sync) == rows(sync.tenant, number)
    assert overlapping(records) == []
