"""``Idempotency-Key`` when a request dies: what it has done is known, and done once: R70."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from sync_pipelines.catalog import audit, idempotency
from sync_pipelines.catalog.secrets import SecretBox, load_keys
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.tables import ExecutionRow, IdempotencyRow
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import dispatch
from sync_pipelines.gateway.api import once
from sync_pipelines.gateway.app import create_app
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.model.roles import Role
from sync_pipelines.runtime.waiting import wait_until
from sync_pipelines.settings import Settings
from tests.gateway.people import token
from tests.world import World

KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture(autouse=True)
def quiet():
    """Telling of a failed request with all its frames takes long."""
    with capture_logs():
        yield


@pytest.fixture
def url(client, world):
    client.headers.update(token(world, "acme", Role.ADMIN))
    return f"/api/v2/syncs/{world.sync('acme/orders').id}/trigger"


def executions(world):
    with world.catalog.begin() as db:
        return db.scalar(select(func.count()).select_from(ExecutionRow))


def dies(*_, **__):
    raise RuntimeError("the process is gone")


def test_a_key_whose_request_died_before_its_work_is_taken_over_soon(
    client, world, url, monkeypatch, launched
):
    with monkeypatch.context() as dying:
        dying.setattr(dispatch, "trigger", dies)
        first = client.post(url, headers=KEY)
    at_once = client.post(url, headers=KEY)
    world.clock.advance(seconds=idempotency.LEASE.total_seconds())

    again, replayed = client.post(url, headers=KEY), client.post(url, headers=KEY)

    assert (first.status_code, at_once.status_code) == (500, 409)
    assert "Retry-After" in at_once.headers
    assert (again.status_code, replayed.status_code) == (202, 202)
    assert again.json() == replayed.json()
    assert (executions(world), len(launched)) == (1, 1)


def test_a_request_that_died_within_its_transaction_has_done_nothing(
    client, world, url, monkeypatch
):
    """The mark is in the transaction of the work: it goes with it."""
    mark = idempotency.mark

    def marks_and_dies(db, key, **more):
        mark(db, key, **more)
        if db.scalar(select(IdempotencyRow.worked_at)) is not None:
            raise RuntimeError("the process is gone")

    with monkeypatch.context() as dying:
        dying.setattr(idempotency, "mark", marks_and_dies)
        client.post(url, headers=KEY)
    world.clock.advance(seconds=idempotency.LEASE.total_seconds())

    assert client.post(url, headers=KEY).status_code == 202
    assert executions(world) == 1


def test_a_key_whose_request_died_after_its_work_does_nothing_again(
    client, world, url, monkeypatch
):
    with monkeypatch.context() as dying:
        dying.setattr(once, "_keep", dies)
        first = client.post(url, headers=KEY)
    at_once = client.post(url, headers=KEY)
    world.clock.advance(hours=1)

    later = client.post(url, headers=KEY)

    assert [one.status_code for one in (first, at_once, later)] == [500, 409, 409]
    assert "done its work" in later.json()["detail"]
    assert executions(world) == 1


def test_between_two_transactions_of_one_request_nothing_is_done_twice(
    client, world, url, monkeypatch
):
    """The trigger is durable, its line in the audit is not yet."""
    with monkeypatch.context() as dying:
        dying.setattr(audit, "record", dies)
        client.post(url, headers=KEY)
    world.clock.advance(hours=1)

    assert client.post(url, headers=KEY).status_code == 409
    assert executions(world) == 1


def test_a_slow_request_whose_key_was_taken_over_is_undone(client, world, url, monkeypatch):
    """Of two that think the key is theirs, one does the work."""
    trigger, begun, go_on = dispatch.trigger, Event(), Event()

    def slow(*what, **more):
        if not begun.is_set():
            begun.set()
            assert go_on.wait(10)
        return trigger(*what, **more)

    monkeypatch.setattr(dispatch, "trigger", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, url, headers=KEY)
        assert begun.wait(10)
        world.clock.advance(seconds=idempotency.LEASE.total_seconds())
        second = client.post(url, headers=KEY)
        go_on.set()
        overtaken = first.result(10)

    assert (second.status_code, overtaken.status_code) == (202, 409)
    assert executions(world) == 1
    assert client.post(url, headers=KEY).json() == second.json()


def test_a_key_that_was_left_behind_is_not_another_requests(client, world, url, monkeypatch):
    with monkeypatch.context() as dying:
        dying.setattr(dispatch, "trigger", dies)
        client.post(url, headers=KEY)
    world.clock.advance(hours=1)

    other = client.post(url, json={"full": True}, headers=KEY)

    assert other.status_code == 422
    with world.catalog.begin() as db:
        assert db.scalar(select(IdempotencyRow.status)) is None


def test_looking_is_no_work(client, world, url):
    """A transaction that has only read leaves the key free to be taken over."""
    with world.catalog.begin() as db:
        assert not db.execute(idempotency._HAS_WRITTEN).scalar_one()
        db.execute(select(ExecutionRow.id))
        assert not db.execute(idempotency._HAS_WRITTEN).scalar_one()


@pytest.mark.processes
@pytest.mark.parametrize(
    ("held_up_at", "asked_again"), [("sync_executions", 202), ("audit_log", 409)]
)
def test_a_gateway_that_is_killed_in_the_middle_leaves_its_work_done_once(
    empty_postgres_url, tmp_path, held_up_at, asked_again
):
    """Kill -9 before the execution is made, and between that and the answer."""
    home = tmp_path / "home"
    catalog = open_catalog(empty_postgres_url, SecretBox(load_keys(home, None)))
    world = World(catalog)
    url = f"/api/v2/syncs/{world.sync('acme/orders').id}/trigger"
    headers = {**KEY, **token(world, "acme", Role.ADMIN)}
    with (
        gateway(empty_postgres_url, home) as (process, address),
        catalog.engine.connect() as holding,
        ThreadPoolExecutor(1) as pool,
    ):
        holding.execute(text(f"LOCK TABLE sync.{held_up_at} IN EXCLUSIVE MODE"))
        asked = pool.submit(httpx.post, f"{address}{url}", headers=headers, timeout=60)
        assert wait_until(lambda: holding.execute(_WAITING).scalar_one() > 0, seconds=30)
        process.kill()
        with pytest.raises(httpx.HTTPError):
            asked.result(30)
        holding.execute(_END_THOSE_THAT_WAIT)
        holding.rollback()
    with catalog.begin() as db:
        db.execute(update(IdempotencyRow).values(leased_until=func.now()))

    with serving(catalog) as client:
        again = client.post(url, headers=headers)

    assert again.status_code == asked_again
    assert executions(world) == 1
    catalog.close()


@contextmanager
def gateway(database_url, home):
    """A gateway in a process of its own, and where it is."""
    kept = {name: value for name, value in os.environ.items() if "SYNC_" not in name}
    said = {
        "SYNC_DATABASE_URL": database_url,
        "SYNC_HOME": str(home),
        "PYTHONPATH": str(Path.cwd()),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "sync_pipelines.cli", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, **said, "PYTHONPATH": str(Path.cwd())},
    ) as process:
        assert process.stderr is not None
        found = (re.search(r"the gateway is on (\S+)", line) for line in process.stderr)
        try:
            yield process, next(one[1] for one in found if one)
        finally:
            process.kill()


@contextmanager
def serving(catalog):
    doors = Doors(
        catalog=catalog,
        settings=Settings(),
        clock=system_clock,
        rng=Random(1),
        launch=lambda execution_id: False,
        dagster_url=lambda: None,
    )
    with TestClient(create_app(doors)) as client:
        yield client


_WAITING = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

# The server notices a killed client only when it next has something to say to it.
_END_THOSE_THAT_WAIT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
