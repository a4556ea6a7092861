"""Rules, incidents, deliveries, digests and thresholds by the API."""

from datetime import timedelta

import pytest

from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.execution import Status
from sync_pipelines.settings import Settings
from tests.engine.settling import run
from tests.gateway.notified import ANA, DELIVERIES, INCIDENTS, RULES, THRESHOLDS
from tests.gateway.people import token

SECRET_URL = "https://127.0.0.1/hooks/PRIVATE"


@pytest.fixture
def settings():
    return Settings(allow_private_addresses=True)


def made(api, name="team", **fields):
    wanted = {"name": name, "channel": "email", "recipients": [ANA], **fields}
    answer = api.post(RULES, json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()


def hook(api, **fields):
    return made(api, "hook", channel="webhook", recipients=[], url=SECRET_URL, **fields)


def test_a_rule_is_made_looked_at_changed_and_removed(api, acme):
    """R99."""
    quiet = {"from": "22:00", "to": "07:00", "timezone": "Europe/Berlin"}
    rule = made(api, topics=["failure"], sync="orders", quiet_hours=quiet)
    path = f"{RULES}/{rule['id']}"

    looked = api.get(path)
    patched = api.patch(
        path,
        json={"topics": ["failure", "stale"], "quiet_hours": None},
        headers={"If-Match": looked.headers["ETag"]},
    )
    put = api.put(path, json={"channel": "in_app", "recipients": [ANA]})
    listed = api.get(RULES, params={"channel": "in_app"}).json()["items"]
    gone = api.delete(path)

    assert (rule["scope"], rule["sync"], rule["quiet_hours"]) == ("sync", "orders", quiet)
    assert (patched.status_code, patched.json()["topics"]) == (200, ["failure", "stale"])
    assert (patched.json()["sync"], patched.json()["quiet_hours"]) == ("orders", None)
    assert (put.json()["scope"], put.json()["sync"]) == ("tenant", None)
    assert [one["id"] for one in listed] == [rule["id"]]
    assert (gone.status_code, api.get(path).status_code) == (204, 404)


def test_a_change_to_a_rule_that_somebody_has_changed_since_is_refused(api, acme):
    path = f"{RULES}/{made(api)['id']}"
    seen = {"If-Match": api.get(path).headers["ETag"]}
    api.patch(path, json={"topics": ["stale"]})

    answers = [
        api.patch(path, json={"topics": ["late"]}, headers=seen),
        api.put(path, json={"channel": "email", "recipients": [ANA]}, headers=seen),
        api.delete(path, headers=seen),
    ]

    assert [one.status_code for one in answers] == [412] * 3
    assert api.get(path).json()["topics"] == ["stale"]


def test_a_url_comes_back_in_no_answer_and_a_signing_secret_once(api, acme, world):
    rule = hook(api)
    path = f"{RULES}/{rule['id']}"
    rotated = api.post(f"{path}/rotate").json()

    kept = api.patch(path, json={"topics": ["success"]})
    told = "".join(api.get(one).text for one in (path, RULES, "/api/v2/audit")) + kept.text

    assert rule["target"] == "https://127.0.0.1"
    assert rule["signing_secret"].startswith("whsec_")
    assert rotated["signing_secret"] not in (rule["signing_secret"], None)
    assert kept.status_code == 200
    for secret in ("PRIVATE", rule["signing_secret"], rotated["signing_secret"]):
        assert secret not in told


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"channel": "pigeon"}, "body.channel"),
        ({"topics": ["failure", "weather"]}, "body.topics"),
        ({"recipients": ["nobody"]}, "body.recipients"),
        ({"recipients": []}, "body"),
        ({"sync": "nowhere"}, "body.sync"),
        ({"schedule": "orders/nowhere"}, "body.schedule"),
        ({"tag": "Nightly Jobs"}, "body.tag"),
        ({"quiet_hours": {"from": "25:00", "to": "07:00"}}, "body.quiet_hours.from"),
        ({"digest": {"timezone": "Mars/Base"}}, "body.digest.timezone"),
        ({"remind_after": "5m"}, "body.remind_after"),
        ({"escalate_after": 0}, "body.escalate_after"),
    ],
)
def test_what_is_wrong_with_a_rule_is_named_by_its_field(api, acme, wrong, field):
    wanted = {"name": "team", "channel": "email", "recipients": [ANA], **wrong}

    answer = api.post(RULES, json=wanted)

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert api.get(RULES).json()["items"] == []


def test_a_webhook_into_this_network_is_refused(client, world, acme, doors):
    """R104; the gateway of this test has no leave to reach into its network."""
    object.__setattr__(doors, "settings", Settings(allow_private_addresses=False))
    wanted = {"name": "hook", "channel": "webhook", "url": SECRET_URL}

    answer = client.post(RULES, json=wanted, headers=token(world, "acme"))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.url"
    assert "PRIVATE" not in answer.text


def test_a_test_is_sent_once_under_one_key(api, acme):
    rule = made(api)
    again = {"Idempotency-Key": "try-1"}

    sent = [api.post(f"{RULES}/{rule['id']}/test", headers=again) for _ in range(2)]

    assert [one.status_code for one in sent] == [202, 202]
    assert sent[0].json() == {"messages": 1}
    assert len(api.get(DELIVERIES, params={"topic": "test"}).json()["items"]) == 1


def test_a_rule_that_was_paused_goes_on_once_it_is_switched_on(api, acme, world):
    rule = hook(api)
    with world.catalog.begin() as db:
        db.exec_driver_sql("UPDATE sync.sync_notifications SET pause_reason = 'answered 410'")

    left = api.patch(f"{RULES}/{rule['id']}", json={"topics": ["failure"]}).json()
    on = api.patch(f"{RULES}/{rule['id']}", json={"is_active": True}).json()

    assert (left["paused"], on["paused"]) == ("answered 410", None)


def test_a_name_is_taken_once(api, acme):
    made(api)

    assert api.post(RULES, json={"name": "team", "channel": "email"}).status_code == 409


def test_an_incident_tells_its_cause_its_remedy_and_whom_it_affects(api, world, acme):
    """R95."""
    run(world, acme, error=ErrorClass.AUTH)

    (incident,) = api.get(INCIDENTS, params={"is_open": True}).json()["items"]

    assert (incident["kind"], incident["syncs"]) == ("failing", ["orders"])
    assert incident["remedy"]
    assert api.get(f"{INCIDENTS}/{incident['id']}").json() == incident


def test_an_incident_is_acknowledged_snoozed_and_resolved_by_name(api, world, acme):
    run(world, acme, error=ErrorClass.AUTH)
    (incident,) = api.get(INCIDENTS).json()["items"]
    path = f"{INCIDENTS}/{incident['id']}"
    until = (world.clock() + timedelta(days=1)).isoformat()

    seen = api.post(f"{path}/acknowledge").json()
    later = api.post(f"{path}/snooze", json={"until": until}).json()
    over = api.post(f"{path}/resolve").json()
    twice = api.post(f"{path}/resolve")
    run(world, acme, error=ErrorClass.AUTH)

    assert seen["acknowledged_at"]
    assert later["snoozed_until"]
    assert over["resolved_at"]
    assert twice.status_code == 409
    (fresh,) = api.get(INCIDENTS, params={"is_open": True}).json()["items"]
    assert fresh["id"] != incident["id"]
    noted = [one["action"] for one in api.get("/api/v2/audit").json()["items"]]
    assert {"incident.acknowledged", "incident.snoozed", "incident.resolved"} <= set(noted)


def test_a_delivery_is_found_by_what_it_is_and_sent_again(api, world, acme):
    made(api, topics=["failure"])
    hook(api, topics=["failure"])
    run(world, acme)

    by_hook = api.get(DELIVERIES, params={"channel": "webhook", "state": "pending"}).json()
    (delivery,) = by_hook["items"]
    path = f"{DELIVERIES}/{delivery['id']}"
    with world.catalog.begin() as db:
        db.exec_driver_sql("UPDATE sync.outbox SET state = 'dead'")
    dead = api.get(path).json()
    again = api.post(f"{path}/redeliver")

    assert (dead["state"], dead["next_attempt_at"], dead["receipts"]) == ("dead", None, [])
    assert dead["payload"]["type"] == "failure"
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    assert again.json()["event_id"] == delivery["event_id"]


def test_deliveries_are_listed_page_by_page(api, world, acme):
    made(api, topics=["success"])
    for _ in range(3):
        run(world, acme, Status.COMPLETED)

    first = api.get(DELIVERIES, params={"limit": 2}).json()
    rest = api.get(DELIVERIES, params={"limit": 2, "cursor": first["next"]}).json()

    found = [one["id"] for one in first["items"] + rest["items"]]
    assert (len(found), len(set(found)), rest["next"]) == (3, 3, None)


def test_a_digest_is_shown_before_it_is_sent(api, world, acme):
    run(world, acme, Status.COMPLETED)
    world.clock.advance(days=1)

    told = api.get("/api/v2/digests/preview", params={"timezone": "Asia/Tokyo"})
    wrong = api.get("/api/v2/digests/preview", params={"timezone": "Mars/Base"})

    assert told.json()["payload"]["digest"]["executions"] == 1
    assert "1 completed" in told.json()["text"]
    assert wrong.status_code == 422


def test_a_tenant_says_where_its_alerts_begin(api, acme):
    """R124."""
    wanted = {"failure_rate": {"opens": 0.5, "closes": 0.2}, "queue_depth": False}
    before = api.get(THRESHOLDS)

    put = api.put(THRESHOLDS, json=wanted, headers={"If-Match": before.headers["ETag"]})
    late = api.put(THRESHOLDS, json={}, headers={"If-Match": before.headers["ETag"]})
    wrong = api.put(THRESHOLDS, json={"failure_rate": {"opens": 0.1, "closes": 0.2}})

    told = {one["measure"]: one for one in put.json()["items"]}
    assert told["failure_rate"]["opens"] == 0.5
    assert (told["queue_depth"]["is_on"], told["slowness"]["is_own"]) == (False, False)
    assert late.status_code == 412
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"].startswith("body.failure_rate")


def test_syncs_are_found_by_their_tags(api, world, acme):
    world.sync("acme/other")
    path = f"/api/v2/syncs/{acme.id}"

    patched = api.patch(path, json={"tags": ["nightly", "finance"]})
    found = api.get("/api/v2/syncs", params={"tag": "finance"}).json()["items"]
    wrong = api.patch(path, json={"tags": ["No Word"]})

    assert patched.json()["tags"] == ["nightly", "finance"]
    assert [one["name"] for one in found] == ["orders"]
    assert wrong.json()["errors"][0]["field"].startswith("body.tags")


def test_an_execution_says_what_helps(api, world, acme):
    """R95."""
    run(world, acme, error=ErrorClass.AUTH)
    run(world, acme, Status.COMPLETED)

    good, bad = api.get("/api/v2/executions").json()["items"]

    assert good["remedy"] is None
    assert "credentials" in bad["remedy"]
