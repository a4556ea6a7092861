"""The two older shapes (trap T13): thin words over the same schedules."""

import sqlite3
from uuid import UUID, uuid4

import pytest

from connectors.contract import SyncMode, WriteMode
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.model.roles import Role
from sync_pipelines.model.sync import SyncStream
from tests.gateway.people import token

OLDER, JOBS = "/api/sync/schedules", "/api/workspaces/acme/sync-jobs"
V2 = "/api/v2/sync-schedules"
UPSERT = SyncStream(name="orders", write_mode=WriteMode.UPSERT)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT)")
        db.execute("CREATE TABLE notes (text TEXT)")
    db.close()
    return path


@pytest.fixture
def acme(world, file):
    return world.sync("acme/orders", streams=[UPSERT], source={"url": f"sqlite:///{file}"})


@pytest.fixture
def api(client, world, acme):
    client.headers.update(token(world, "acme", Role.ADMIN))
    return client


def older(acme, **fields):
    return {
        "credential_id": str(acme.source.id),
        "platform": "database",
        "entity_type": "orders",
        "cron_expression": "0 0 * * * *",
        "sync_mode": "incremental",
        **fields,
    }


def job(acme, **fields):
    return {
        "name": "Hourly Stripe Sync",
        "dataSourceId": str(acme.source.id),
        "destinationDatabaseId": str(acme.destination.id),
        "schedule": {"cron": "0 * * * *", "timezone": "America/New_York"},
        "syncMode": "incremental",
        "enabled": True,
        **fields,
    }


def test_the_shape_by_platform_makes_lists_changes_and_deletes(api, world, acme):
    """R140-R142."""
    created = api.post(OLDER, json=older(acme))
    (listed,) = api.get(OLDER).json()
    url = f"{OLDER}/{listed['id']}"
    updated = api.put(url, json={"cron_expression": "30 2 * * *", "is_active": False})
    (changed,) = api.get(OLDER).json()
    deleted = api.delete(url)

    assert created.status_code == 201
    assert set(created.json()) == {"id", "message"}
    assert listed == {
        "id": created.json()["id"],
        "platform": "database",
        "entity_type": "orders",
        "cron_expression": "0 * * * *",
        "sync_mode": "incremental",
        "timezone": "America/Edmonton",
        "is_active": True,
        "last_run_at": None,
        "next_run_at": "2026-03-02T13:00:00Z",
    }
    assert (updated.status_code, set(updated.json())) == (200, {"message"})
    assert (changed["cron_expression"], changed["is_active"]) == ("30 2 * * *", False)
    assert changed["timezone"] == "America/Edmonton"
    assert (deleted.status_code, set(deleted.json())) == (200, {"message"})
    assert api.get(OLDER).json() == []


def test_its_sync_mode_is_the_streams(api, world, acme):
    api.post(OLDER, json=older(acme))

    with world.catalog.begin() as db:
        (stream,) = find_sync(db, world.catalog.secrets, "acme/orders").streams
    assert stream.sync_mode is SyncMode.INCREMENTAL


def test_a_mode_that_cannot_be_makes_no_schedule_either(api, world):
    """One transaction: an incremental read cannot replace the whole table."""
    sync = world.sync("acme/units", streams=[SyncStream(name="units")])

    answer = api.post(OLDER, json=older(sync, entity_type="units"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.sync_mode"
    assert api.get(OLDER).json() == []


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"cron_expression": "61 * * * *"}, 422, "body.cadence.cron"),
        ({"platform": "woocommerce"}, 422, "body.platform"),
        ({"entity_type": "nowhere"}, 422, "body.entity_type"),
        ({"timezone": "Mars"}, 422, "body.timezone"),
        ({"credential_id": str(uuid4())}, 404, None),
    ],
)
def test_what_is_wrong_in_that_shape_is_named(api, acme, fields, status, field):
    answer = api.post(OLDER, json=older(acme, **fields))

    assert answer.status_code == status
    assert [one["field"] for one in answer.json()["errors"]] == ([field] if field else [])


def test_that_shape_triggers_tells_and_retries(api, acme, launched):
    """R143."""
    made = api.post(OLDER, json=older(acme)).json()["id"]

    nothing = api.get(f"{OLDER}/{made}/status").json()
    early = api.post(f"{OLDER}/{made}/retry")
    triggered = api.post(f"{OLDER}/{made}/trigger").json()
    told = api.get(f"{OLDER}/{made}/status").json()

    assert (nothing["status"], early.status_code) == (None, 409)
    assert (told["execution_id"], told["status"]) == (triggered["execution_id"], "pending")
    assert launched == [UUID(triggered["execution_id"])]
    assert api.post(f"{OLDER}/{made}/retry").status_code == 409


def test_the_shape_by_workspace_makes_a_sync_with_a_schedule(api, world, acme):
    """R144; all that the source has, by its keys."""
    answer = api.post(JOBS, json=job(acme))

    told = answer.json()
    assert answer.status_code == 201, answer.text
    assert told["schedule"] == {"cron": "0 * * * *", "timezone": "America/New_York"}
    assert (told["name"], told["enabled"], told["syncMode"]) == (
        "Hourly Stripe Sync",
        True,
        "incremental",
    )
    assert told["nextRunAt"] == "2026-03-02T13:00:00Z"
    with world.catalog.begin() as db:
        sync = find_sync(db, world.catalog.secrets, "acme/hourly-stripe-sync")
    modes = {stream.name: str(stream.write_mode) for stream in sync.streams}
    assert modes == {"orders": "upsert", "notes": "append"}
    assert api.get(JOBS).json() == [told]


def test_a_jobs_entity_filter_is_what_it_moves(api, acme):
    told = api.post(JOBS, json=job(acme, entityFilter=["orders"], syncMode="full")).json()

    assert told["entityFilter"] == ["orders"]


def test_a_job_is_changed_in_part_and_removed_with_its_unused_sync(api, acme):
    """R145."""
    made = api.post(JOBS, json=job(acme)).json()
    url = f"{JOBS}/{made['id']}"

    changed = api.put(url, json={"name": "Daily", "schedule": {"cron": "0 0 * * *"}}).json()
    deleted = api.delete(url)

    assert (changed["name"], changed["schedule"]) == (
        "Daily",
        {"cron": "0 0 * * *", "timezone": "America/New_York"},
    )
    assert (deleted.status_code, api.get(JOBS).json()) == (204, [])
    assert api.post(JOBS, json=job(acme)).status_code == 201


def test_toggle_flips_and_enable_and_disable_do_not(api, acme):
    """R146, trap T11."""
    url = f"{JOBS}/{api.post(JOBS, json=job(acme)).json()['id']}"

    verbs = ("toggle", "toggle", "disable", "disable", "enable", "enable")
    found = [api.post(f"{url}/{verb}").json()["enabled"] for verb in verbs]

    assert found == [False, True, False, False, True, True]


def test_a_toggle_that_is_sent_again_under_its_key_flips_once(api, acme):
    """Trap T11: a retried request does not undo itself."""
    url = f"{JOBS}/{api.post(JOBS, json=job(acme)).json()['id']}"

    for _ in range(2):
        api.post(f"{url}/toggle", headers={"Idempotency-Key": "t-1"})

    assert api.get(url).json()["enabled"] is False


def test_a_job_that_is_off_runs_when_somebody_asks_and_tells_how_it_stands(api, acme, launched):
    """R22, R146; trap T10."""
    url = f"{JOBS}/{api.post(JOBS, json=job(acme, enabled=False)).json()['id']}"

    ran = api.post(f"{url}/run")
    told = api.get(f"{url}/status").json()

    assert ran.status_code == 202
    assert launched == [UUID(ran.json()["executionId"])]
    assert (told["status"], told["isRunning"], told["enabled"]) == ("pending", False, False)
    assert told["averageDurationMs"] is None


def test_all_shapes_show_the_same_schedules(api, acme):
    """T13."""
    api.post(JOBS, json=job(acme))
    api.post(OLDER, json=older(acme, cron_expression="15 3 * * *"))

    seen = [
        {one["id"] for one in found}
        for found in (api.get(JOBS).json(), api.get(OLDER).json(), api.get(V2).json()["items"])
    ]

    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) == 2


def test_a_workspace_of_others_is_not_there(api, world, acme):
    world.sync("rival/orders")

    assert api.get("/api/workspaces/rival/sync-jobs").status_code == 404
