"""An execution, watched while it moves on: R108, R109."""

import asyncio
import json
from contextlib import AsyncExitStack, ExitStack, contextmanager
from threading import Thread
from time import monotonic
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from connectors.contract import Counts
from sync_pipelines.catalog import executions
from sync_pipelines.catalog.listening import APPLICATION, listening, stands_for_all_tenants
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.gateway import progress, progress_hub
from sync_pipelines.gateway.app import create_app
from sync_pipelines.gateway.progress_hub import Hub
from sync_pipelines.model.execution import Status
from sync_pipelines.model.roles import Role
from sync_pipelines.runtime.waiting import wait_until
from tests.engine.settling import end, run
from tests.gateway.people import token
from tests.gateway.served import served

QUIET = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"


@pytest.fixture
def address(doors):
    with served(create_app(doors)) as address:
        yield address


@pytest.fixture
def execution_id(world):
    return trigger(world.catalog, world.sync(), now=world.clock(), queued=True)


class Stream:
    """Events as a browser reads them."""

    def __init__(self, lines):
        self._lines = lines

    def next(self):
        """The name, data and id of the next event; None when there are no more."""
        found: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line == "" and "data" in found:
                return found["event"], json.loads(found["data"]), found["id"]
            if line == "" and "" in found:
                return "comment", found[""], None
            if line == "":
                found = {}
            else:
                found[name] = value
        return None


@contextmanager
def watched(address, execution_id, headers, **more):
    url = f"{address}/api/v2/executions/{execution_id}/events"
    with httpx.stream("GET", url, headers={**headers, **more}, timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer.iter_lines())


def beat(world, execution_id, rows):
    """What a running execution's reporter does."""
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        counts = Counts(processed=rows)
        snapshot = {"phase": "reading", "rows_read": rows}
        executions.beat(db, found, progress=snapshot, counts=counts, now=world.clock())


def start(world, execution_id):
    with world.catalog.begin() as db:
        found = executions.lock_for_all_tenants(db, execution_id)
        executions.save(db, found, found.started(world.clock(), None))


def test_an_execution_is_seen_from_the_queue_to_its_end(address, world, execution_id):
    with watched(address, execution_id, token(world, role=Role.VIEWER)) as stream:
        queued = stream.next()
        start(world, execution_id)
        running = stream.next()
        beat(world, execution_id, 500)
        read = stream.next()
        with world.catalog.begin() as db:
            db.execute(text("UPDATE sync.sync_executions SET status = 'completed'"))
        over = stream.next()
        nothing = stream.next()

    assert [one[0] for one in (queued, running, read, over)] == ["step", "step", "step", "end"]
    assert [one[1]["status"] for one in (queued, running, over)] == [
        "queued",
        "running",
        "completed",
    ]
    assert read[1]["progress"]["rows_read"] == 500
    assert read[1]["records"]["processed"] == 500
    assert nothing is None


def test_who_comes_again_hears_only_what_is_new(address, world, execution_id):
    headers = token(world)
    with watched(address, execution_id, headers) as stream:
        first = stream.next()

    with watched(address, execution_id, headers, **{"Last-Event-ID": first[2]}) as stream:
        start(world, execution_id)
        second = stream.next()

    assert second[1]["status"] == "running"


def test_who_has_heard_the_end_is_told_not_to_come_again(address, world):
    ended = run(world, world.sync(), Status.COMPLETED)
    headers = token(world)
    with watched(address, ended.id, headers) as stream:
        name, _, last = stream.next()

    again = httpx.get(
        f"{address}/api/v2/executions/{ended.id}/events",
        headers={**headers, "Last-Event-ID": last},
    )

    assert (name, again.status_code) == ("end", 204)


def test_an_execution_of_another_tenant_is_not_there(client, world, execution_id):
    mine = client.get(f"/api/v2/executions/{uuid4()}/events", headers=token(world))

    theirs = client.get(f"/api/v2/executions/{execution_id}/events", headers=token(world, "rival"))

    assert (mine.status_code, theirs.status_code) == (404, 404)


def test_a_silent_stream_has_signs_of_life_and_ends_in_time(
    address, world, execution_id, monkeypatch
):
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.3)
    monkeypatch.setattr(progress, "LONGEST_SECONDS", 1.5)

    with watched(address, execution_id, token(world)) as stream:
        found = []
        while (one := stream.next()) is not None:
            found.append(one[0])

    assert found[:3] == ["step", "comment", "comment"]


def test_an_execution_that_is_not_kept_any_more_is_gone(world, execution_id, doors, monkeypatch):
    """No notice tells of that: what is watched is read again now and then."""
    monkeypatch.setattr(progress_hub, "AGAIN_SECONDS", 0.3)
    app, headers = create_app(doors), token(world)
    with served(app) as address, watched(address, execution_id, headers) as stream:
        stream.next()
        with world.catalog.begin() as db:
            db.execute(text("DELETE FROM sync.sync_executions"))
        told = stream.next()

    assert told[0] == "gone"


def test_too_many_watchers_of_a_tenant_are_told_to_ask_instead(
    client, world, execution_id, monkeypatch
):
    monkeypatch.setattr(progress_hub, "MOST_OF_A_TENANT", 0)

    answer = client.get(f"/api/v2/executions/{execution_id}/events", headers=token(world))

    assert answer.status_code == 429


def test_notices_go_on_after_the_connection_was_lost(address, world, execution_id):
    with watched(address, execution_id, token(world)) as stream:
        stream.next()
        assert wait_until(lambda: listeners(world) == 1, seconds=10)
        with world.catalog.begin() as db:
            db.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = :name AND datname = current_database()"
                ),
                {"name": APPLICATION},
            )
        start(world, execution_id)
        told = stream.next()

    assert told[1]["status"] == "running"


def listeners(world):
    with world.catalog.begin() as db:
        return db.scalar(text(f"{QUIET} AND datname = current_database()"), {"name": APPLICATION})


def test_two_hundred_watchers_cost_one_connection_and_one_query_a_step(world, execution_id):
    tenant_id = world.sync().tenant_id
    reads = []

    def read(keys):
        reads.append(len(keys))
        with world.catalog.begin() as db:
            return stands_for_all_tenants(db, keys)

    async def watch():
        hub = Hub(lambda: listening(world.catalog), read)
        async with hub.running(), AsyncExitStack() as stack:
            watchers = [
                stack.enter_context(hub.watching((tenant_id, execution_id))) for _ in range(200)
            ]
            first = await asyncio.gather(*(one.next(10) for one in watchers))
            await asyncio.sleep(1)  # what a fresh connection has read again is heard
            await asyncio.gather(*(one.next(0.01) for one in watchers))
            reads.clear()
            await asyncio.to_thread(start, world, execution_id)
            second = await asyncio.gather(*(one.next(10) for one in watchers))
            return first, second, await asyncio.to_thread(listeners, world), len(reads)

    first, second, connections, steps = asyncio.run(watch())

    assert {one.status for one in first} == {Status.QUEUED}
    assert {one.status for one in second} == {Status.RUNNING}
    assert (connections, steps) == (1, 1)


def test_a_sign_of_life_without_progress_is_no_news(world, execution_id):
    start(world, execution_id)
    beat(world, execution_id, 5)
    heard = []

    async def listen():
        async with listening(world.catalog) as notices:
            await asyncio.to_thread(beat, world, execution_id, 5)
            await asyncio.to_thread(end_it)
            async for key in notices:
                heard.append(key)
                return

    def end_it():
        with world.catalog.begin() as db:
            db.execute(text("UPDATE sync.sync_executions SET status = 'failed'"))

    asyncio.run(listen())

    assert heard == [(world.sync().tenant_id, execution_id)]


def test_another_executions_steps_are_not_heard(address, world, execution_id):
    other = trigger(world.catalog, world.sync("rival/orders"), now=world.clock(), queued=True)

    with watched(address, execution_id, token(world)) as stream:
        stream.next()
        end(world, other, Status.COMPLETED)
        start(world, execution_id)
        told = stream.next()

    assert told[1]["id"] == str(execution_id)


def test_a_gateway_that_stops_ends_its_streams_at_once(world, execution_id, doors):
    """It would wait for them as for any request, and cut them off in the end."""
    with ExitStack() as stopping:
        address = stopping.enter_context(served(create_app(doors), grace_seconds=30))
        with watched(address, execution_id, token(world)) as stream:
            stream.next()
            stopper = Thread(target=stopping.close)
            began = monotonic()
            stopper.start()
            last, nothing = stream.next(), stream.next()
            stopper.join(25)
            took = monotonic() - began

    assert last[0] == "comment"
    assert nothing is None
    assert took < 5


def test_who_comes_while_a_gateway_stops_is_not_kept(world, execution_id, doors):
    app, headers = create_app(doors), token(world)
    with served(app) as address:
        progress.end_streams(app)
        with watched(address, execution_id, headers) as stream:
            told = [stream.next(), stream.next(), stream.next()]

    assert [one and one[0] for one in told] == ["step", "comment", None]
