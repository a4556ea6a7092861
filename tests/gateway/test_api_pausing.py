"""A pause that is over before it begins is refused, as by the command."""

from datetime import timedelta

from sync_pipelines.model.roles import Role
from tests.gateway.people import token


def test_a_pause_until_a_time_that_has_passed_is_refused_by_its_field(client, world):
    """R25, R148."""
    schedule = world.schedule(world.sync("acme/orders"), {"type": "hourly"})
    client.headers.update(token(world, "acme", Role.OPERATOR))
    url = f"/api/v2/sync-schedules/{schedule}"

    past, to_come = (
        client.post(f"{url}/pause", json={"until": (world.clock() + by).isoformat()})
        for by in (timedelta(0), timedelta(minutes=1))
    )

    assert (past.status_code, to_come.status_code) == (422, 200)
    assert [one["field"] for one in past.json()["errors"]] == ["body.until"]
    assert to_come.json()["state"] == "paused"
