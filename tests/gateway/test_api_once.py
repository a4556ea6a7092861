"""``Idempotency-Key`` when a request dies: it has done all, and is answered, or nothing: R70."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
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


def fails(*_, **__):
    raise RuntimeError("out of order")


@pytest.fixture
def dies(monkeypatch):
    """Lets requests that fail die: the server rolls back, and nobody gives the key back."""

    def die(request, error):
        if hasattr(request.state, "taken"):
            request.state.taken.work.__exit__(type(error), error, error.__traceback__)

    monkeypatch.setattr(once, "_undo", die)


STEPS = [(dispatch, "trigger"), (audit, "record"), (idempotency, "keep")]
"""Before anything is made, in the middle, and when all but the answer is done."""


@pytest.mark.parametrize(("module", "step"), STEPS)
def test_a_request_that_failed_has_done_nothing_and_its_key_is_free_at_once(
    client, world, url, monkeypatch, launched, module, step
):
    with monkeypatch.context() as failing:
        failing.setattr(module, step, fails)
        failed = client.post(url, headers=KEY)
    made = executions(world)

    again, replayed = client.post(url, headers=KEY), client.post(url, headers=KEY)

    assert (failed.status_code, made) == (500, 0)
    assert (again.status_code, replayed.status_code) == (202, 202)
    assert again.json() == replayed.json()
    assert (executions(world), len(launched)) == (1, 1)


@pytest.mark.usefixtures("dies")
def test_a_key_whose_request_died_is_taken_over_when_its_lease_is_over(
    client, world, url, monkeypatch
):
    with monkeypatch.context() as failing:
        failing.setattr(audit, "record", fails)
        client.post(url, headers=KEY)
    at_once = client.post(url, headers=KEY)
    world.clock.advance(seconds=idempotency.LEASE.total_seconds())

    again = client.post(url, headers=KEY)

    assert (at_once.status_code, again.status_code) == (409, 202)
    assert "Retry-After" in at_once.headers
    assert executions(world) == 1


def test_a_request_that_died_after_its_work_is_answered_as_it_would_have_been(doors, world):
    """The client never saw an answer: R70."""
    with serving(replace(doors, launch=fails)) as client:
        client.headers.update(token(world, "acme", Role.ADMIN))
        url = f"/api/v2/syncs/{world.sync('acme/orders').id}/trigger"
        lost, again = client.post(url, headers=KEY), client.post(url, headers=KEY)

    with world.catalog.begin() as db:
        made = db.scalar(select(ExecutionRow.id))
    assert (lost.status_code, again.status_code) == (500, 202)
    assert again.json() == {"execution_id": str(made), "launched": False}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert executions(world) == 1


def test_what_was_started_is_launched_once_others_can_see_it(doors, world):
    with serving(replace(doors, launch=lambda _: executions(world) == 1)) as client:
        client.headers.update(token(world, "acme", Role.ADMIN))
        url = f"/api/v2/syncs/{world.sync('acme/orders').id}/trigger"
        first, again = client.post(url, headers=KEY), client.post(url, headers=KEY)

    assert first.json()["launched"]
    assert first.json() == again.json()


def test_a_certain_clash_is_refused_under_a_key_too(client, world, url):
    """What there was before is looked at from outside the request's transaction."""
    wanted = {"sync": "orders", "cadence": {"type": "daily", "at": "02:00"}}

    answers = [
        client.post(
            "/api/v2/sync-schedules",
            headers={"Idempotency-Key": name},
            json={**wanted, "name": name},
        )
        for name in ("nightly", "twin")
    ]

    assert [one.status_code for one in answers] == [201, 409]


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


@pytest.mark.usefixtures("dies")
def test_a_key_that_was_left_behind_is_not_another_requests(client, world, url, monkeypatch):
    with monkeypatch.context() as failing:
        failing.setattr(dispatch, "trigger", fails)
        client.post(url, headers=KEY)
    world.clock.advance(hours=1)

    other = client.post(url, json={"full": True}, headers=KEY)

    assert other.status_code == 422
    with world.catalog.begin() as db:
        assert db.scalar(select(IdempotencyRow.status)) is None


@pytest.mark.processes
@pytest.mark.parametrize(
    ("held_up_at", "is_answered"), [("audit_log", False), ("heartbeats", True)]
)
def test_a_gateway_that_is_killed_in_the_middle_leaves_its_work_done_once(
    empty_postgres_url, tmp_path, held_up_at, is_answered
):
    """Kill -9 when the execution is made but not committed, and between that and the answer."""
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
        holding.execute(text(f"LOCK TABLE sync.{held_up_at}"))
        asked = pool.submit(httpx.post, f"{address}{url}", headers=headers, timeout=60)
        stopped = _LAUNCHING if is_answered else _WAITING
        assert wait_until(lambda: holding.execute(stopped).scalar_one() > 0, seconds=30)
        process.kill()
        with pytest.raises(httpx.HTTPError):
            asked.result(30)
        holding.execute(_END_THOSE_THAT_WAIT)
        holding.rollback()

    with serving(doors_on(catalog)) as client:
        at_once = client.post(url, headers=headers)
        with catalog.begin() as db:
            db.execute(update(IdempotencyRow).values(leased_until=func.now()))
        again = client.post(url, headers=headers)

    assert (at_once.status_code, again.status_code) == (202 if is_answered else 409, 202)
    assert ("Idempotency-Replayed" in again.headers) is is_answered
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


def doors_on(catalog):
    return Doors(
        catalog=catalog,
        settings=Settings(),
        clock=system_clock,
        rng=Random(1),
        launch=lambda execution_id: False,
        dagster_url=lambda: None,
    )


def serving(doors):
    return TestClient(create_app(doors), raise_server_exceptions=False)


_WAITING = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

_LAUNCHING = text("SELECT count(*) FROM sync.idempotency_keys WHERE status = 202")

# The server notices a killed client only when it next has something to say to it.
_END_THOSE_THAT_WAIT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
