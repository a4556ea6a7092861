"""Whether it can work, and whether the scheduler does: R123, R126, R147."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Barrier, BrokenBarrierError

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from sync_pipelines.catalog import heartbeats, incidents
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.signs import DISPATCH_EVENTS, WATCH, due_dispatcher
from sync_pipelines.gateway import health
from sync_pipelines.gateway.app import create_app
from tests.engine.ending import start

HOURLY = {"type": "every", "minutes": 60}
PARTS = (DISPATCH_EVENTS, WATCH, due_dispatcher("database"))


def beat(world, *parts):
    with world.catalog.begin() as db:
        for part in parts:
            heartbeats.beat(db, part, every_seconds=5, now=world.clock())


@pytest.fixture
def nowhere(doors):
    """A gateway whose catalog is gone."""
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    lost = replace(doors, catalog=replace(doors.catalog, engine=engine))
    with TestClient(create_app(lost), raise_server_exceptions=False) as client:
        yield client


def test_a_gateway_with_its_catalog_is_ready(client):
    answer = client.get("/health/ready")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


@pytest.mark.parametrize("probe", ["ready", "scheduler"])
def test_without_the_catalog_it_is_alive_and_not_ready(nowhere, probe):
    answer = nowhere.get(f"/health/{probe}")

    assert answer.status_code == 503
    assert "SYNC_DATABASE_URL" in answer.json()["reasons"][0]["remedy"]
    assert "127.0.0.1" not in answer.text
    assert nowhere.get("/health/live").status_code == 200


def test_a_catalog_of_another_version_is_not_ready(client, world):
    with world.catalog.begin() as db:
        was = db.scalar(text("SELECT version_num FROM sync.alembic_version"))
        db.execute(text("UPDATE sync.alembic_version SET version_num = '9999'"))
    try:
        answer = client.get("/health/ready")
    finally:
        with world.catalog.begin() as db:
            db.execute(text("UPDATE sync.alembic_version SET version_num = :was"), {"was": was})

    assert answer.status_code == 503
    assert "same version" in answer.json()["reasons"][0]["remedy"]


def test_a_catalog_that_hangs_is_told_in_time(client, monkeypatch, world):
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(health, "is_current", lambda db: db.execute(text("SELECT pg_sleep(1)")))

    answer = client.get("/health/ready")

    assert answer.status_code == 503
    assert "in time" in answer.json()["reasons"][0]["what"]


def test_a_scheduler_that_gives_signs_of_life_is_good(client, world):
    waiting, queued, *running = (world.sync(f"acme/{name}") for name in "abcd")
    world.schedule(waiting, HOURLY)
    trigger(world.catalog, waiting, now=world.clock())
    trigger(world.catalog, queued, now=world.clock(), queued=True)
    for sync in running:
        start(world, trigger(world.catalog, sync, now=world.clock()))
    world.clock.advance(seconds=40)
    beat(world, *PARTS)

    answer = client.get("/health/scheduler")

    told = answer.json()
    assert (answer.status_code, told["status"], told["reasons"]) == (200, "good", [])
    assert told["queue"] == {"pending": 1, "queued": 1, "running": 2, "oldest_seconds": 40}
    assert {one["part"] for one in told["beats"]} == set(PARTS)
    assert told["storage"]["database_bytes"] > 1_000_000


def test_a_dead_daemon_is_told_with_what_helps(client, world):
    beat(world, *PARTS)
    world.clock.advance(minutes=3)

    answer = client.get("/health/scheduler")

    assert (answer.status_code, answer.json()["status"]) == (503, "bad")
    assert "Dagster's daemon" in answer.json()["reasons"][0]["what"]


@pytest.mark.parametrize(("seconds", "code"), [(90, 200), (91, 503)])
def test_a_schedule_that_nobody_decides_on_is_told_though_the_daemon_lives(
    client, world, seconds, code
):
    sync = world.sync()
    world.schedule(sync, HOURLY)
    world.clock.advance(seconds=seconds)
    beat(world, *PARTS)

    answer = client.get("/health/scheduler")

    told = [one for one in answer.json()["reasons"] if "is not decided on" in one["what"]]
    assert answer.json()["dispatch_lag_seconds"] == seconds
    assert (answer.status_code, bool(told)) == (code, code == 503)


def test_a_silent_schedule_and_a_full_disk_are_told_and_no_tenant_named(client, world, monkeypatch):
    sync = world.sync()
    beat(world, *PARTS)
    alarm = Alarm(
        kind=Kind.SILENT_SCHEDULE,
        subject="acme/orders/main",
        tenant_id=sync.tenant_id,
        message="acme/orders/main starts nothing",
        remedy="apply",
    )
    with world.catalog.begin() as db:
        incidents.raise_incident(db, alarm, now=world.clock())
    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 1 << 62)

    answer = client.get("/health/scheduler")

    assert (answer.status_code, answer.json()["silent_schedules"]) == (503, 1)
    assert len(answer.json()["reasons"]) == 2
    assert "acme" not in answer.text


@pytest.mark.parametrize(
    ("probe", "question", "answer"), [("ready", "is_current", True), ("scheduler", "signs", ())]
)
def test_a_flood_of_probes_asks_the_catalog_once_a_second(
    client, world, monkeypatch, probe, question, answer
):
    asked = []
    monkeypatch.setattr(health, question, lambda *which: asked.append(which) or answer)

    for _ in range(5):
        client.get(f"/health/{probe}")
    world.clock.advance(seconds=1)
    client.get(f"/health/{probe}")

    assert len(asked) == 2


def test_of_probes_at_once_one_asks_the_catalog(client, monkeypatch):
    asked = []
    all_ask = Barrier(3)

    def ask(db):
        asked.append(db)
        with suppress(BrokenBarrierError):  # the others wait for this answer, and never come
            all_ask.wait(0.2)
        return True

    monkeypatch.setattr(health, "is_current", ask)
    with ThreadPoolExecutor(3) as pool:
        codes = [one.status_code for one in pool.map(client.get, ["/health/ready"] * 3)]

    assert (codes, len(asked)) == ([200] * 3, 1)
