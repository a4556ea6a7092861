"""`/api/v2/sync-schedules`: making, reading, changing and removing schedules."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import select

from sync_pipelines.catalog.tables import AuditRow
from sync_pipelines.engine.dispatch import claim_due
from tests.gateway.scheduling import DAILY, PATH, made

pytestmark = pytest.mark.usefixtures("acme")


def test_a_schedule_is_made_and_shown_with_its_next_run(api):
    """R23, R24, R136."""
    answer = api.post(
        PATH,
        json={
            "sync": "orders",
            "name": "nightly",
            "description": "before the shop opens",
            "cadence": DAILY,
            "timezone": "Europe/Berlin",
        },
    )

    schedule = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"{PATH}/{schedule['id']}"
    assert (schedule["schedule_type"], schedule["cron_expression"]) == ("daily", "0 2 * * *")
    assert schedule["next_run_at"] == "2026-03-03T01:00:00Z"
    assert schedule["description"] == "before the shop opens"
    assert api.get(f"{PATH}/{schedule['id']}").json() == schedule


@pytest.mark.parametrize(
    ("older", "cadence"),
    [
        ({"schedule_type": "hourly"}, {"type": "hourly", "minute": 0}),
        ({"schedule_type": "daily", "config": {"hour": 0}}, {"type": "daily", "at": "00:00"}),
        (
            {"schedule_type": "weekly", "config": {"dayOfWeek": 0, "time": "04:30"}},
            {"type": "weekly", "days": ["sun"], "at": "04:30"},
        ),
        (
            {"schedule_type": "monthly", "config": {"dayOfMonth": 15}},
            {"type": "monthly", "days": [15], "at": "02:00"},
        ),
        (
            {"schedule_type": "custom", "cron_expression": "*/7 * * * *"},
            {"type": "cron", "cron": "*/7 * * * *"},
        ),
        ({"schedule_type": "realtime"}, {"type": "realtime"}),
    ],
)
def test_the_documents_words_say_when_too(api, older, cadence):
    """R20; trap T9: monthly is among them."""
    schedule = made(api, cadence=None, **older)

    assert schedule["cadence"] == cadence


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cadence": {"type": "daily", "at": "26:00"}}, "body.cadence.at"),
        ({"cadence": {"type": "dayly"}}, "body.cadence.type"),
        ({"cadence": {"type": "cron", "cron": "61 * * * *"}}, "body.cadence.cron"),
        ({"cadence": {"type": "hourly", "overlap": "skip"}}, "body.cadence.overlap"),
        ({"timezone": "Mars/Olympus"}, "body.timezone"),
        ({"policies": {"overlap": "perhaps"}}, "body.policies.overlap"),
        ({"sync": "nowhere"}, "body.sync"),
        ({"name": "Not A Word"}, "body.name"),
        ({"colour": "red"}, "body.colour"),
        ({"cadence": None, "schedule_type": "custom"}, "body.cron_expression"),
        ({"schedule_type": "hourly"}, "body.schedule_type"),
        (
            {"cadence": None, "schedule_type": "weekly", "config": {"dayOfWeek": 9}},
            "body.config.dayOfWeek",
        ),
        ({"description": "a\0b"}, "body.description"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(api, body, field):
    """R148."""
    wanted = {"sync": "orders", "name": "nightly", "cadence": DAILY, **body}

    answer = api.post(PATH, json=wanted)

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_a_name_is_taken_once_and_a_certain_clash_is_refused(api):
    """R33, R34: the same as for a manifest."""
    made(api)

    again = api.post(PATH, json={"sync": "orders", "name": "nightly", "cadence": DAILY})
    twin = api.post(PATH, json={"sync": "orders", "name": "twin", "cadence": DAILY})

    assert (again.status_code, twin.status_code) == (409, 409)
    assert "fire alike" in twin.json()["detail"]
    assert len(api.get(PATH).json()["items"]) == 1


def test_a_part_is_changed_and_the_rest_stays(api):
    """R26."""
    schedule = made(api, timezone="Europe/Berlin", policies={"overlap": "queue"})

    answer = api.patch(f"{PATH}/{schedule['id']}", json={"cadence": {"type": "hourly"}})

    changed = answer.json()
    assert changed["cadence"] == {"type": "hourly", "minute": 0}
    assert (changed["timezone"], changed["policies"]) == ("Europe/Berlin", {"overlap": "queue"})


def test_putting_replaces_a_schedule_but_not_whether_it_is_active(api):
    schedule = made(api, timezone="Europe/Berlin", is_active=False)

    changed = api.put(f"{PATH}/{schedule['id']}", json={"cadence": DAILY}).json()

    assert (changed["timezone"], changed["is_active"]) == ("UTC", False)


def test_a_change_of_what_somebody_else_has_changed_is_refused(api):
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}"
    seen = api.get(url).headers["ETag"]
    api.patch(url, json={"timezone": "Asia/Tokyo"})

    answers = [
        api.patch(url, json={"is_active": False}, headers={"If-Match": seen}),
        api.put(url, json={"cadence": DAILY}, headers={"If-Match": seen}),
        api.delete(url, headers={"If-Match": seen}),
    ]
    now = api.get(url)
    last = api.patch(url, json={"is_active": False}, headers={"If-Match": now.headers["ETag"]})

    assert [one.status_code for one in answers] == [412, 412, 412]
    assert now.json()["is_active"]
    assert last.status_code == 200


def test_a_run_does_not_change_what_was_seen(api, world):
    """Else a dispatcher would make every change fail."""
    schedule = made(api, cadence={"type": "every", "minutes": 15})
    url = f"{PATH}/{schedule['id']}"
    seen = api.get(url).headers["ETag"]
    world.clock.advance(hours=1)
    claim_due(world.catalog, "database", world.clock(), tick="t")

    assert api.get(url).headers["ETag"] == seen
    assert api.get(url).json()["next_run_at"] != schedule["next_run_at"]


def test_a_schedule_is_removed_and_audited(api, world):
    schedule = made(api)

    answer = api.delete(f"{PATH}/{schedule['id']}")

    assert answer.status_code == 204
    assert api.get(f"{PATH}/{schedule['id']}").status_code == 404
    with world.catalog.begin() as db:
        actions = list(db.scalars(select(AuditRow.action).order_by(AuditRow.id)))
    assert actions == ["schedule.created", "schedule.deleted"]


def test_what_is_not_there_is_404_everywhere(api):
    url = f"{PATH}/{uuid4()}"

    answers = [
        api.get(url),
        api.put(url, json={"cadence": DAILY}),
        api.patch(url, json={}),
        api.delete(url),
        *(api.post(f"{url}/{verb}") for verb in ("trigger", "pause", "resume")),
        *(api.get(f"{url}/{word}") for word in ("history", "preview")),
    ]

    assert {one.status_code for one in answers} == {404}


def test_of_changes_at_once_to_what_was_seen_one_is_made(api):
    url = f"{PATH}/{made(api)['id']}"
    seen = api.get(url).headers["ETag"]

    def change(hour):
        cadence = {"type": "daily", "at": f"0{hour}:30"}
        return api.patch(url, json={"cadence": cadence}, headers={"If-Match": seen}).status_code

    with ThreadPoolExecutor(3) as pool:
        found = sorted(pool.map(change, (3, 4, 5)))

    assert found == [200, 412, 412]
