"""Lists of schedules: their pages, orders and filters."""

import pytest

from tests.gateway.scheduling import DAILY, PATH, made

pytestmark = pytest.mark.usefixtures("acme")


@pytest.fixture
def acme(world):
    """Two syncs of a tenant."""
    world.sync("acme/units")
    return world.sync("acme/orders")


def test_pages_show_each_schedule_once_while_others_are_put_in(api):
    """Stable under inserts."""
    for name in ("b", "d", "f"):
        made(api, name, cadence={"type": "daily", "at": f"0{ord(name) - 96}:00"})

    first = api.get(PATH, params={"limit": 2}).json()
    made(api, "a", cadence={"type": "daily", "at": "07:00"})
    made(api, "e", cadence={"type": "daily", "at": "08:00"})
    second = api.get(PATH, params={"limit": 2, "cursor": first["next"]}).json()

    names = [one["name"] for one in first["items"] + second["items"]]
    assert names == ["b", "d", "e", "f"]
    assert second["next"] is None


@pytest.mark.parametrize("sort", ["name", "-name", "created_at", "next_run_at", "-next_run_at"])
def test_every_order_pages_through_everything(api, world, sort):
    for number, cadence in enumerate(
        ({"type": "hourly"}, {"type": "manual"}, {"type": "realtime"}, DAILY)
    ):
        world.clock.advance(seconds=1)
        made(api, f"s{number}", cadence=cadence)

    seen, cursor = [], None
    while True:
        params = {"limit": 1, "sort": sort, **({"cursor": cursor} if cursor else {})}
        page = api.get(PATH, params=params)
        seen += [one["name"] for one in page.json()["items"]]
        cursor = page.json()["next"]
        if cursor is None:
            break

    assert sorted(seen) == ["s0", "s1", "s2", "s3"]
    if sort in ("name", "created_at"):
        assert seen == sorted(seen)
    if sort == "next_run_at":
        assert seen[:2] == ["s0", "s3"]


@pytest.mark.parametrize("cursor", ["x", "W10=", "bnVsbA==", "e30=", "' OR 1=1", "/////w=="])
def test_a_cursor_that_was_made_up_is_named(api, cursor):
    answer = api.get(PATH, params={"cursor": cursor})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "query.cursor"


def test_schedules_are_filtered(api):
    made(api, "a")
    made(api, "b", cadence={"type": "hourly"}, is_active=False)
    api.post(PATH, json={"sync": "units", "name": "c", "cadence": {"type": "hourly"}})

    def names(**params):
        return [one["name"] for one in api.get(PATH, params=params).json()["items"]]

    assert names(sync="orders") == ["a", "b"]
    assert names(is_active="false") == ["b"]
    assert names(schedule_type="hourly") == ["b", "c"]
