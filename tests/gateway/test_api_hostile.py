"""Who has no business there: every route of the API, by every wrong caller, and bad bodies.

Law: the routes are the application's own; one that is new and not described here fails.
"""

import json
import re
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select, text

from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.tables import InboxRow
from sync_pipelines.gateway.app import ROUTERS
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.model.roles import Role
from tests.engine.settling import run
from tests.gateway.hooks import endpoint
from tests.gateway.people import token, user

VIEWER, OPERATOR, ADMIN = Role
DAILY = {"type": "daily", "at": "02:00"}

LOOKED_AT = {
    "GET /api/v2/audit": ADMIN,
    "GET /api/v2/tokens": ADMIN,
    "GET /api/v2/connections/{connection_id}/discover": OPERATOR,
    "POST /api/v2/sync-schedules/preview": VIEWER,
    "POST /api/v2/webhooks/{name}/enable": ADMIN,
    "POST /api/v2/webhooks/{name}/disable": ADMIN,
    "PUT /api/v2/notification-preferences": VIEWER,
    "POST /api/v2/notifications/read": VIEWER,
    **{
        f"POST /api/v2/notifications/{{message_id}}/{verb}": VIEWER
        for verb in ("read", "acknowledge", "snooze", "resolve")
    },
}
"""What the usual rules are wrong about."""

OPERATED = re.compile(
    r"/(trigger|pause|resume|cancel|retry|redrive|discard|check|toggle|enable|disable|run"
    r"|test|acknowledge|snooze|resolve|redeliver)$"
)

NOT_OF_A_TENANT = ("/api/docs", "/api/v2/session", "/api/v2/me", "/api/v2/tenants")

IDS = {
    "schedule_id": "schedule",
    "job_id": "schedule",
    "sync_id": "sync",
    "connection_id": "connection",
    "execution_id": "execution",
    "letter_id": "letter",
    "token_id": "token",
    "rule_id": "rule",
    "message_id": "message",
    "incident_id": "incident",
    "delivery_id": "delivery",
}


def routes():
    found: list[str] = []
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, APIRoute) or not route.path.startswith("/api/"):
                continue
            if not route.path.startswith(NOT_OF_A_TENANT):
                found += [f"{method} {route.path}" for method in sorted(route.methods)]
    return sorted(found)


def needed(route):
    """The least role for a route, by the rules that the guide tells people."""
    method, path = route.split(" ")
    if route in LOOKED_AT:
        return LOOKED_AT[route]
    if method == "GET":
        return VIEWER
    return OPERATOR if OPERATED.search(path) else ADMIN


@pytest.fixture
def theirs(world):
    """A rival with one of everything; ids by kind."""
    sync = world.sync("rival/orders")
    schedule = world.schedule(sync, DAILY)
    told = {
        Channel.EMAIL: ("x@rival.example",),
        Channel.IN_APP: (user(world, "x@rival.example", rival=ADMIN),),
    }
    for channel, recipients in told.items():
        rule = Rule(
            id=uuid4(),
            tenant_id=sync.tenant_id,
            name=f"{channel}-rule",
            channel=channel,
            recipients=recipients,
        )
        with world.catalog.begin() as db:
            put_rule(db, world.catalog.secrets, rule, now=world.clock())
    run(world, sync)
    headers = token(world, "rival", ADMIN)
    with world.catalog.begin() as db:
        message = db.scalar(select(InboxRow.id))
    return {
        "message": message,
        "schedule": schedule,
        "sync": sync.id,
        "connection": sync.source.id,
        "headers": headers,
    }


@pytest.fixture
def filled(client, theirs):
    """The same, with the ids that only the API tells."""
    headers = theirs["headers"]

    def first(path):
        return client.get(path, headers=headers).json()["items"][0]["id"]

    return {
        **theirs,
        "execution": first("/api/v2/executions"),
        "letter": first("/api/v2/dead-letters"),
        "token": first("/api/v2/tokens"),
        "rule": first("/api/v2/notification-rules"),
        "incident": first("/api/v2/incidents"),
        "delivery": first("/api/v2/notification-deliveries"),
    }


def asked(client, route, ids, headers, *, workspace="acme", body=None):
    method, path = route.split(" ")
    path = path.replace("{workspace_id}", workspace).replace("{name}", "database")
    for parameter, kind in IDS.items():
        path = path.replace(f"{{{parameter}}}", str(ids.get(kind, uuid4())))
    assert "{" not in path, f"this test does not know the parameters of {route}"
    params = {"at": "2026-03-04T02:00:00Z"} if path.endswith("/explain") else {}
    json = body if body is not None or method in ("GET", "DELETE") else bodies(route)
    return client.request(method, path, headers=headers, params=params, json=json)


def bodies(route):
    """A body that the route takes, so that what is refused is refused for who asks."""
    sync = {"source": "orders-source", "destination": "orders-destination", "streams": ["o"]}
    schedule = {"cadence": {"type": "hourly"}}
    ends = {"dataSourceId": str(uuid4()), "destinationDatabaseId": str(uuid4())}
    older = {"credential_id": str(uuid4()), "platform": "database", "entity_type": "orders"}
    letters = {"ids": [str(uuid4())]}
    rule = {"channel": "email", "recipients": ["ana@example.com"]}
    until = {"until": "2030-01-01T00:00:00Z"}
    known = {
        "POST /api/v2/sync-schedules": {**schedule, "sync": "orders", "name": "n"},
        "POST /api/v2/sync-schedules/preview": schedule,
        "PUT /api/v2/sync-schedules/{schedule_id}": schedule,
        "POST /api/v2/syncs": {**sync, "name": "n"},
        "PUT /api/v2/syncs/{sync_id}": sync,
        "POST /api/v2/connections": {"name": "n", "connector": "database"},
        "POST /api/v2/dead-letters/redrive": letters,
        "POST /api/v2/dead-letters/discard": letters,
        "POST /api/v2/tokens": {"name": "n"},
        "POST /api/v2/webhooks": {"name": "n", "scheme": "woocommerce"},
        "POST /api/v2/notification-rules": {"name": "n", **rule},
        "PUT /api/v2/notification-rules/{rule_id}": rule,
        "POST /api/v2/notifications/{message_id}/snooze": until,
        "POST /api/v2/incidents/{incident_id}/snooze": until,
        "POST /api/sync/schedules": {**older, "cron_expression": "0 * * * *"},
        "POST /api/workspaces/{workspace_id}/sync-jobs": {
            **ends,
            "name": "n",
            "schedule": {"cron": "0 * * * *"},
        },
    }
    return known.get(route, {})


@pytest.mark.parametrize("route", routes())
def test_nobody_comes_in_without_saying_who_they_are(client, world, route):
    """R128."""
    assert asked(client, route, {}, {}).status_code == 401


@pytest.mark.parametrize("route", routes())
def test_a_role_that_is_not_enough_is_refused_and_one_that_is_comes_in(client, world, route):
    """R129: wrong roles on every route."""
    least = needed(route)
    lower = [role for role in Role if not role.allows(least)]

    refused = [asked(client, route, {}, token(world, "acme", role)) for role in lower]
    let_in = asked(client, route, {}, token(world, "acme", least))

    assert [one.status_code for one in refused] == [403] * len(lower)
    assert let_in.status_code not in (401, 403) and let_in.status_code < 500, let_in.text


@pytest.mark.parametrize("route", [one for one in routes() if re.search(r"{\w+_id}", one)])
def test_what_is_anothers_is_not_there(client, world, filled, route):
    """R127: the rival's own ids on every route that takes one."""
    headers = token(world, "acme", ADMIN)
    is_of_workspace = "_id}/sync-jobs" in route and "{job_id}" not in route

    workspace = "rival" if is_of_workspace else "acme"
    answer = asked(client, route, filled, headers, workspace=workspace)

    assert answer.status_code == 404, answer.text
    assert "rival" not in answer.text or is_of_workspace


def test_no_list_shows_anothers(client, world, filled):
    endpoint(world, "theirs", tenant="rival")
    headers = token(world, "acme", ADMIN)
    lists = [one for one in routes() if one.startswith("GET") and "{" not in one]

    told = {one: asked(client, one, {}, headers).text for one in lists}

    kinds = {*IDS.values()} - {"token"}
    ids = [str(filled[kind]) for kind in kinds]
    assert [one for one, text in told.items() if any(found in text for found in ids)] == []
    assert [one for one, text in told.items() if "rival" in text or "theirs" in text] == []
    assert client.get("/api/v2/webhooks/theirs", headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("scopes", "status"), [(("reports:read",), 403), (("sync-schedules:read",), 403)]
)
def test_a_token_that_is_limited_to_other_things_triggers_nothing(client, world, scopes, status):
    sync = world.sync("acme/orders")
    schedule = world.schedule(sync, DAILY)
    headers = token(world, "acme", ADMIN, scopes=scopes)

    for path in (
        f"/api/v2/sync-schedules/{schedule}/trigger",
        f"/api/sync/schedules/{schedule}/trigger",
        f"/api/workspaces/acme/sync-jobs/{schedule}/run",
    ):
        assert client.post(path, headers=headers).status_code == status


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


def test_what_is_anothers_is_not_there_by_its_name_either(client, world):
    """R127: of webhook endpoints, which are told by name."""
    world.sync("rival/orders")
    endpoint(world, "theirs", tenant="rival")
    headers = token(world, "acme", ADMIN)
    named = [one for one in routes() if "/webhooks/{name}" in one]

    answered = {
        one: client.request(
            one.split(" ")[0], "/api/v2/webhooks/theirs" + one.partition("{name}")[2],
            headers=headers, json={},
        ).status_code
        for one in named
    }  # fmt: skip

    assert len(named) > 3
    assert [one for one in routes() if "{name}" in one and one not in named] == [
        "GET /api/v2/connectors/{name}"  # which are everybody's
    ]
    assert {one: code for one, code in answered.items() if code != 404} == {}


def test_anothers_ids_in_a_body_or_a_filter_do_nothing(client, world, filled):
    """R127: what a path does not name, too."""
    world.sync("acme/orders")
    headers = token(world, "acme", ADMIN)
    letter, connection = str(filled["letter"]), str(filled["connection"])
    ends = {"dataSourceId": connection, "destinationDatabaseId": connection}
    hourly = {"cron": "0 * * * *"}
    bodies = {
        "/api/v2/dead-letters/redrive": {"ids": [letter]},
        "/api/v2/dead-letters/discard": {"ids": [letter]},
        "/api/v2/syncs": {
            "name": "n", "source": connection, "destination": connection, "streams": ["o"]
        },
        "/api/workspaces/acme/sync-jobs": {"name": "n", "schedule": hourly, **ends},
        "/api/sync/schedules": {
            "credential_id": connection, "platform": "database", "entity_type": "orders",
            "cron_expression": "0 * * * *",
        },
    }  # fmt: skip
    before = of_the_rival(world)

    told = [client.post(path, json=body, headers=headers).text for path, body in bodies.items()]
    told += [
        client.get(f"/api/v2/executions?{name}={filled[kind]}", headers=headers).text
        for name, kind in (("sync", "sync"), ("schedule_id", "schedule"))
    ]

    assert of_the_rival(world) == before
    assert [one for one in told if "rival" in one] == []


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


def of_the_rival(world):
    """Every row that they have, but for when its token was used."""
    tables = ("connections", "syncs", "sync_schedules", "sync_executions", "dead_letters")
    with world.catalog.begin() as db:
        return [
            db.execute(
                text(
                    f"SELECT * FROM sync.{table} WHERE tenant_id ="
                    " (SELECT id FROM sync.tenants WHERE name = 'rival') ORDER BY id"
                )
            ).all()
            for table in tables
        ]
