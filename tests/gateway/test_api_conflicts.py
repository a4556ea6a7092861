"""Conflicts over the API: refused where certain, told and listed where likely, of one's own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sync_pipelines.catalog import audit, conflicts
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.model.roles import Role
from tests.engine.limits import until_somebody_waits
from tests.gateway.people import token

SCHEDULES, CONFLICTS = "/api/v2/sync-schedules", "/api/v2/conflicts"
NIGHTLY = {"type": "daily", "at": "02:00"}
HOURLY = {"type": "hourly"}


@pytest.fixture
def api(client, world):
    world.sync("acme/orders")
    client.headers.update(token(world, "acme", Role.ADMIN))
    return client


def made(api, name, cadence):
    wanted = {"sync": "orders", "name": name, "cadence": cadence}
    answer = api.post(SCHEDULES, json=wanted)
    assert answer.status_code == 201, answer.text
    return f"{SCHEDULES}/{answer.json()['id']}"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_into_a_certain_clash_is_refused_and_changes_nothing(api, method):
    """R33, R36: whichever way it is changed, and by its twin in other words."""
    made(api, "nightly", NIGHTLY)
    url = made(api, "later", {"type": "daily", "at": "03:00"})
    before = api.get(url).json()

    twin = {"cadence": {"type": "cron", "cron": "0 2 * * *"}}
    answer = api.request(method, url, json=twin)

    assert answer.status_code == 409
    assert "fire alike" in answer.json()["detail"]
    assert api.get(url).json() == before
    assert api.get(CONFLICTS).json() == {"items": []}


def test_a_likely_clash_is_made_listed_and_over_when_it_is_mended(api, world):
    """R36: with who is concerned, what would end it, and since when."""
    made(api, "nightly", NIGHTLY)
    began = world.clock()
    often = made(api, "often", HOURLY)

    (told,) = api.get(CONFLICTS).json()["items"]
    world.clock.advance(hours=1)
    api.patch(often, json={"is_active": False})
    over = api.get(CONFLICTS).json()["items"]
    (resolved,) = api.get(CONFLICTS, params={"with_resolved": True}).json()["items"]

    assert (told["kind"], told["severity"]) == ("duplicate", "likely")
    assert told["schedules"] == ["acme/orders/nightly", "acme/orders/often"]
    assert told["remedy"] == "delete the first of them: the other does its work"
    assert (told["found_at"], told["resolved_at"]) == (f"{began:%Y-%m-%dT%H:%M:%SZ}", None)
    assert over == []
    assert resolved["resolved_at"] == f"{world.clock():%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize("paused", ["schedule", "switched off", "sync"])
def test_what_would_clash_for_certain_is_not_resumed(api, world, paused):
    """R33, R36: a twin was made while it was paused, and nothing else is held against it."""
    (sync,) = api.get("/api/v2/syncs").json()["items"]
    url = made(api, "nightly", NIGHTLY)
    stopped = f"/api/v2/syncs/{sync['id']}" if paused == "sync" else url
    if paused == "switched off":
        api.patch(url, json={"is_active": False})
    else:
        api.post(f"{stopped}/pause", json={"reason": "stocktaking"})
    made(api, "again", {"type": "cron", "cron": "0 2 * * *"})
    before = api.get(stopped).json()

    refused = api.post(f"{stopped}/resume")

    assert refused.status_code == 409
    assert "fire alike; delete the first of them" in refused.json()["detail"]
    assert api.get(stopped).json() == before
    assert api.get(CONFLICTS).json() == {"items": []}


@pytest.mark.parametrize("what", ["schedule", "sync"])
def test_who_resumes_and_who_changes_something_else_never_wait_for_each_other(api, world, what):
    """Who changes something holds the audit first, and then the tenant's conflicts."""
    (sync,) = api.get("/api/v2/syncs").json()["items"]
    url = made(api, "nightly", NIGHTLY)
    stopped = f"/api/v2/syncs/{sync['id']}" if what == "sync" else url
    api.post(f"{stopped}/pause", json={"reason": "stocktaking"})

    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            audit.hold_chain(db)
            resumed = pool.submit(api.post, f"{stopped}/resume")
            until_somebody_waits(world)
            conflicts.hold(db, find_tenant(db, "acme").id)

        assert resumed.result(timeout=20).status_code == 200


def test_a_likely_clash_of_what_is_resumed_is_listed_at_once(api):
    """R36."""
    url = made(api, "nightly", NIGHTLY)
    api.post(f"{url}/pause", json={"reason": "stocktaking"})
    made(api, "often", HOURLY)
    before = api.get(CONFLICTS).json()["items"]

    resumed = api.post(f"{url}/resume")

    assert (before, resumed.status_code) == ([], 200)
    assert [one["severity"] for one in api.get(CONFLICTS).json()["items"]] == ["likely"]


def test_conflicts_are_their_tenants_and_counted_in_its_report(api, world):
    """R36, R111, R127."""
    made(api, "nightly", NIGHTLY)
    made(api, "often", HOURLY)
    world.clock.advance(minutes=1)
    world.sync("rival/orders")
    rival = token(world, "rival", Role.ADMIN)

    seen = [
        (
            len(api.get(CONFLICTS, headers=headers).json()["items"]),
            api.get("/api/v2/reports", headers=headers).json()["conflicts_found"],
            api.get("/api/v2/reports", headers=headers).json()["conflicts_open"],
        )
        for headers in ({}, rival)
    ]

    assert seen == [(1, 1, 1), (0, 0, 0)]
