"""Schedules are paused, triggered by hand, and asked what is to come."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from sync_pipelines.catalog.tables import ExecutionRow
from tests.gateway.scheduling import PATH, made

pytestmark = pytest.mark.usefixtures("acme")


def test_a_schedule_is_paused_until_a_time_and_resumed(api, world):
    """R25; trap T9: the dashboard's pause and resume."""
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}"
    until = world.clock() + timedelta(days=3)

    paused = api.post(f"{url}/pause", json={"reason": "stock", "until": until.isoformat()})
    resumed = api.post(f"{url}/resume")

    assert (paused.json()["state"], resumed.json()["state"]) == ("paused", "active")
    assert paused.json()["next_run_at"] == "2026-03-06T02:00:00Z"
    assert resumed.json()["next_run_at"] == schedule["next_run_at"]


def test_a_paused_schedule_is_triggered_by_hand_and_the_run_stands_in_its_history(
    api, world, launched
):
    """R38, R138, R139; trap T10."""
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}"
    api.post(f"{url}/pause")

    answer = api.post(f"{url}/trigger", json={"full": True})

    execution = UUID(answer.json()["execution_id"])
    (entry,) = api.get(f"{url}/history").json()["items"]
    assert answer.status_code == 202
    assert answer.json()["launched"]
    assert launched == [execution]
    assert (entry["id"], entry["trigger"]) == (str(execution), "manual")


def test_a_trigger_for_a_stream_that_is_not_there_makes_nothing(api, world):
    schedule = made(api)

    answer = api.post(f"{PATH}/{schedule['id']}/trigger", json={"streams": ["nowhere"]})

    assert answer.status_code == 422
    with world.catalog.begin() as db:
        assert db.scalar(select(ExecutionRow.id)) is None


def test_what_is_to_come_is_shown_before_it_is_saved(api):
    """R12."""
    answer = api.post(
        f"{PATH}/preview",
        json={
            "cadence": {"type": "daily", "at": "02:30"},
            "timezone": "Europe/Berlin",
            "after": "2026-03-28T00:00:00Z",
            "count": 2,
        },
    )

    first, second = answer.json()["next"]
    assert first["local"] == "2026-03-28T02:30:00+01:00"
    assert second["local"] == "2026-03-29T03:00:00+02:00"
    assert second["note"]


def test_a_schedule_tells_what_is_to_come_and_why(api):
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}"

    coming = api.get(f"{url}/preview", params={"count": 3}).json()
    why = api.get(f"{url}/explain", params={"at": "2026-03-04T02:00:00Z"}).json()

    assert [one["at"][:10] for one in coming["next"]] == ["2026-03-03", "2026-03-04", "2026-03-05"]
    assert why["verdict"] == "will_run"
