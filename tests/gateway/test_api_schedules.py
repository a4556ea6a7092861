"""`/api/v2/sync-schedules`: making, reading, changing, steering and asking about schedules."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from sync_pipelines.catalog.idempotency import forget_for_all_tenants
from sync_pipelines.catalog.tables import AuditRow, ExecutionRow, IdempotencyRow
from sync_pipelines.engine.dispatch import claim_due
from sync_pipelines.model.roles import Role
from tests.gateway.people import token

PATH = "/api/v2/sync-schedules"
DAILY = {"type": "daily", "at": "02:00"}


@pytest.fixture
def acme(world):
    """Two syncs of a tenant."""
    world.sync("acme/units")
    return world.sync("acme/orders")


@pytest.fixture
def headers(world, acme):
    return token(world, "acme", Role.ADMIN)


@pytest.fixture
def api(client, headers):
    client.headers.update(headers)
    return client


def made(api, name="nightly", **fields):
    answer = api.post(PATH, json={"sync": "orders", "name": name, "cadence": DAILY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


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


def test_a_trigger_that_is_sent_twice_starts_once(api, world, launched):
    """The answer is lost, and the client tries again under its key."""
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}/trigger"

    first, second = (api.post(url, headers={"Idempotency-Key": "k-1"}) for _ in range(2))
    other = api.post(url, json={"full": True}, headers={"Idempotency-Key": "k-1"})

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(launched) == 1
    assert other.status_code == 422


def test_a_key_whose_request_was_refused_is_free_again(api, world):
    key = {"Idempotency-Key": "k-2"}
    wanted = {"sync": "orders", "name": "nightly", "cadence": DAILY}

    refused = api.post(PATH, json={**wanted, "timezone": "Mars"}, headers=key)
    taken = api.post(PATH, json=wanted, headers=key)

    assert (refused.status_code, taken.status_code) == (422, 201)


def test_a_key_whose_request_is_still_at_work_starts_nothing(api, world, acme):
    schedule = made(api)
    url = f"{PATH}/{schedule['id']}/trigger"
    api.post(url, headers={"Idempotency-Key": "k-3"})
    with world.catalog.begin() as db:
        db.execute(update(IdempotencyRow).values(status=None, body=None))

    answer = api.post(url, headers={"Idempotency-Key": "k-3"})

    assert answer.status_code == 409
    assert "Retry-After" in answer.headers


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


def test_a_key_is_remembered_for_a_day_and_then_forgotten(api, world, launched):
    url = f"{PATH}/{made(api)['id']}/trigger"
    for key in ("k-5", "k-6"):
        api.post(url, headers={"Idempotency-Key": key})
    world.clock.advance(hours=25)

    again = api.post(url, headers={"Idempotency-Key": "k-5"})
    with world.catalog.begin() as db:
        forgotten = forget_for_all_tenants(db, now=world.clock())

    assert "Idempotency-Replayed" not in again.headers
    assert len(launched) == 3
    assert forgotten == 1


def test_of_requests_at_once_under_one_key_one_starts_something(api, launched):
    url = f"{PATH}/{made(api)['id']}/trigger"

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(api.post, url, headers={"Idempotency-Key": "k-7"}) for _ in range(4)]
    answers = [one.result() for one in asked]

    assert len(launched) == 1
    assert {one.status_code for one in answers} <= {202, 409}
    assert len({one.text for one in answers if one.status_code == 202}) == 1


def test_of_changes_at_once_to_what_was_seen_one_is_made(api):
    url = f"{PATH}/{made(api)['id']}"
    seen = api.get(url).headers["ETag"]

    def change(hour):
        cadence = {"type": "daily", "at": f"0{hour}:30"}
        return api.patch(url, json={"cadence": cadence}, headers={"If-Match": seen}).status_code

    with ThreadPoolExecutor(3) as pool:
        found = sorted(pool.map(change, (3, 4, 5)))

    assert found == [200, 412, 412]
