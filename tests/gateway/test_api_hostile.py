"""Hostile bodies, filters, headers and addresses: nothing is found, injected or reached by them."""

import json
import re
from uuid import uuid4

import pytest

from tests.gateway.people import token
from tests.gateway.trespassing import ADMIN, DAILY, IDS, routes

BAD = [
    b"",
    b"null",
    b"[]",
    b'"x"',
    b"{",
    b"\xff\xfe\x00",
    b'{"a": 1e999}',
    b'{"config": NaN}',
    b'{"name": "\\u0000", "sync": "\\ud800"}',
    b'{"cadence": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"count": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("route", [one for one in routes() if one[:3] in ("POS", "PUT", "PAT")])
def test_a_malformed_body_is_refused_and_never_our_fault(client, world, route):
    """R148."""
    sync = world.sync("acme/orders")
    ids = {"schedule": world.schedule(sync, DAILY), "sync": sync.id, "connection": sync.source.id}
    headers = {**token(world, "acme", ADMIN), "Content-Type": "application/json"}
    method, path = route.split(" ")
    path = path.replace("{workspace_id}", "acme")
    for parameter, kind in IDS.items():
        path = path.replace(f"{{{parameter}}}", str(ids.get(kind, uuid4())))

    answers = [client.request(method, path, headers=headers, content=body) for body in BAD]

    assert [one.status_code for one in answers if one.status_code >= 500] == []
    assert all(
        one.headers["content-type"] == "application/problem+json"
        for one in answers
        if one.status_code >= 400
    )


INJECTED = ["' OR '1'='1", "'; DROP TABLE sync.syncs; --", "%", "\\", "a\x00b", "${env:HOME}", "‮"]


@pytest.mark.parametrize("written", INJECTED)
def test_sql_in_a_filter_or_a_name_finds_nothing(client, world, written):
    world.schedule(world.sync("acme/orders"), DAILY)
    headers = token(world, "acme", ADMIN)

    answers = [
        client.get("/api/v2/syncs", params={"tag": written}, headers=headers),
        client.get("/api/v2/notification-rules", params={"tag": written}, headers=headers),
        client.get(
            "/api/v2/notification-deliveries", params={"recipient": written}, headers=headers
        ),
        client.get("/api/v2/sync-schedules", params={"sync": written}, headers=headers),
        client.get("/api/v2/syncs", params={"source": written}, headers=headers),
        client.get("/api/v2/connections", params={"connector": written}, headers=headers),
        client.get("/api/v2/executions", params={"sync": written}, headers=headers),
        client.get("/api/v2/dead-letters", params={"cause": written}, headers=headers),
        client.get("/api/v2/connectors/" + "x", headers=headers),
    ]
    made = client.post(
        "/api/v2/sync-schedules",
        json={"sync": written, "name": written, "cadence": DAILY},
        headers=headers,
    )

    assert all(one.status_code in (200, 404, 422) for one in answers)
    assert all(one.json()["items"] == [] for one in answers if one.status_code == 200)
    assert made.status_code == 422
    assert client.get("/api/v2/sync-schedules", headers=headers).json()["items"]


@pytest.mark.parametrize("word", ["a\r\nX-Evil: 1", "a\nb", "ü", "x" * 201, ""])
def test_a_header_cannot_be_put_into_an_answer(client, world, word):
    schedule = world.schedule(world.sync("acme/orders"), DAILY)
    headers = {
        **token(world, "acme", ADMIN),
        "Idempotency-Key": word.encode(),
        "If-Match": word.encode(),
    }

    answers = [
        client.post(f"/api/v2/sync-schedules/{schedule}/trigger", headers=headers),
        client.patch(f"/api/v2/sync-schedules/{schedule}", json={}, headers=headers),
    ]

    assert [one.status_code for one in answers] == [422, 412]
    assert all("x-evil" not in one.headers for one in answers)


def test_nothing_of_the_environment_is_put_into_a_body(client, world, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    world.sync("acme/orders")
    headers = token(world, "acme", ADMIN)
    body = {"sync": "orders", "name": "n", "cadence": DAILY, "description": "${env:SECRET}"}

    made = client.post("/api/v2/sync-schedules", json=body, headers=headers)

    assert made.json()["description"] == "${env:SECRET}"


LEADING = re.compile(r"(^|_)(url|uri|host|endpoint|address|callback|redirect|next|target)s?$")

NAMED = {
    "AuthorizationWanted.next": "a path of the gateway's own: see test_api_authorizing",
    "RulePatch.url": "refused below",
    "RulePut.url": "refused below",
    "RuleWanted.url": "refused below",
}
"""Fields of bodies that lead somewhere. What a connection's ``config`` names is for
`tests.connectors.test_reach`, which reads the connectors' own fields.
"""


def test_every_field_that_leads_somewhere_is_known_here(client):
    """SSRF: one that is new is named by this test."""
    document = client.get("/api/openapi.json").json()
    bodies = json.dumps([
        operation["requestBody"]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    ])  # fmt: skip
    found: set[str] = set()
    seen: set[str] = set()
    left = set(re.findall(r"#/components/schemas/(\w+)", bodies))
    while left - seen:
        name = (left - seen).pop()
        seen.add(name)
        schema = document["components"]["schemas"][name]
        left |= set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema)))
        found |= {f"{name}.{one}" for one in schema.get("properties", {}) if LEADING.search(one)}

    assert found == set(NAMED)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::1]", "2130706433"])
def test_a_rule_posts_nowhere_inside(client, world, host):
    """SSRF: by each way to say where a rule posts."""
    world.sync("acme/orders")
    headers = token(world, "acme", ADMIN)
    rules = "/api/v2/notification-rules"
    good = {"channel": "webhook", "url": "https://93.184.215.14/x"}
    url = f"https://{host}/latest"
    made = client.post(rules, json={"name": "n", **good}, headers=headers)
    assert made.status_code == 201, made.text

    answers = [
        client.post(rules, json={"name": "m", "channel": "webhook", "url": url}, headers=headers),
        client.put(f"{rules}/{made.json()['id']}", json={**good, "url": url}, headers=headers),
        client.patch(f"{rules}/{made.json()['id']}", json={"url": url}, headers=headers),
    ]
    chat = {"name": "c", "channel": "apprise", "url": f"jsons://{host}/x"}
    answers.append(client.post(rules, json=chat, headers=headers))

    assert [one.status_code for one in answers] == [422] * 4
    shown = client.get(f"{rules}/{made.json()['id']}", headers=headers).json()
    assert shown["target"] == made.json()["target"]
