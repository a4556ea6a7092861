"""The audit of what is done over the API: by whom, when, and from what to what."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from sync_pipelines.catalog.tables import AuditRow
from sync_pipelines.model.roles import Role
from tests.gateway.people import token
from tests.world import START

SCHEDULES, CONNECTIONS = "/api/v2/sync-schedules", "/api/v2/connections"
DAILY = {"type": "daily", "at": "02:00"}
URL = "postgresql://u:hunter2@93.184.215.14/shop"


@pytest.fixture
def api(client, world):
    world.sync("acme/orders")
    client.headers.update(token(world, "acme", Role.ADMIN))
    return client


@pytest.fixture
def actor(api):
    """What the audit calls whoever asks."""
    return api.get("/api/v2/me").json()["actor"]


@pytest.fixture
def nightly(api):
    """The URL of a schedule."""
    wanted = {"sync": "orders", "name": "nightly", "cadence": DAILY}
    return f"{SCHEDULES}/{api.post(SCHEDULES, json=wanted).json()['id']}"


def audited(world):
    with world.catalog.begin() as db:
        return db.execute(select(AuditRow.__table__).order_by(AuditRow.id)).all()


def test_every_change_of_a_schedule_says_who_when_and_from_what_to_what(api, world, actor, nightly):
    """R133."""
    steps = [
        lambda: api.patch(nightly, json={"cadence": {"type": "hourly"}}),
        lambda: api.put(nightly, json={"cadence": DAILY, "timezone": "Asia/Tokyo"}),
        lambda: api.post(f"{nightly}/pause", json={"reason": "stock"}),
        lambda: api.post(f"{nightly}/resume"),
        lambda: api.delete(nightly),
    ]
    for step in steps:
        world.clock.advance(minutes=1)
        assert step().status_code < 300

    rows = audited(world)
    states = [rows[0].after, *(row.after for row in rows[1:])]
    assert [row.action for row in rows] == [
        f"schedule.{done}"
        for done in ("created", "changed", "changed", "paused", "resumed", "deleted")
    ]
    assert {(row.actor, row.subject) for row in rows} == {(actor, "acme/orders/nightly")}
    assert [row.at for row in rows] == [START + timedelta(minutes=n) for n in range(6)]
    assert [row.before for row in rows] == [None, *states[:-1]]
    assert [state and (state["cadence"]["type"], state["timezone"]) for state in states] == [
        ("daily", "UTC"),
        ("hourly", "UTC"),
        *[("daily", "Asia/Tokyo")] * 3,
        None,
    ]
    assert states[3]["policies"] == {"pause": {"reason": "stock"}}


def test_every_change_of_a_connection_and_a_token_is_told_without_its_secret(api, world, actor):
    """R131, R133."""
    wanted = {"name": "shop", "connector": "database", "config": {"url": URL}}
    connection = f"{CONNECTIONS}/{api.post(CONNECTIONS, json=wanted).json()['id']}"
    api.patch(connection, json={"config": {"connect_timeout_seconds": 5}})
    api.delete(connection)
    made = api.post("/api/v2/tokens", json={"name": "ci"}).json()
    api.delete(f"/api/v2/tokens/{made['id']}")

    rows = audited(world)
    configs = [(row.before or {}).get("config") for row in rows[:3]]
    assert [row.action for row in rows] == [
        *(f"connection.{done}" for done in ("created", "changed", "deleted")),
        *(f"token.{done}" for done in ("created", "revoked")),
    ]
    assert {row.actor for row in rows} == {actor}
    assert configs == [None, {}, {"connect_timeout_seconds": 5}]
    assert rows[3].after == rows[4].before
    assert rows[3].after["name"] == "ci"
    assert "hunter2" not in str(rows)
    assert made["token"].rpartition("_")[2] not in str(rows)


def test_every_execution_that_somebody_starts_or_stops_is_told_with_who(api, world, actor, nightly):
    """R133: by each way to start one."""
    first = api.post(f"{nightly}/trigger").json()["execution_id"]
    api.post(f"/api/v2/executions/{first}/cancel")
    retried = api.post(f"/api/v2/executions/{first}/retry").json()["execution_id"]
    older = api.post(f"/api/sync/schedules/{nightly.rpartition('/')[2]}/trigger").json()
    job = f"/api/workspaces/acme/sync-jobs/{nightly.rpartition('/')[2]}/run"
    newest = api.post(job).json()["executionId"]

    told = [(row.actor, row.action, row.subject) for row in audited(world)[1:]]
    assert told == [
        (actor, f"execution.{done}", f"acme/orders {execution}")
        for done, execution in (
            ("triggered", first),
            ("cancelled", first),
            ("triggered", retried),
            ("triggered", older["execution_id"]),
            ("triggered", newest),
        )
    ]
