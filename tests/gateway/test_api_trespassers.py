"""Who has no business there: every route of the API, by every wrong caller.

Law: the routes are the application's own; one that is new and not described here fails.
"""

import re
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.tables import InboxRow
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.model.roles import Role
from tests.engine.settling import run
from tests.gateway.hooks import endpoint
from tests.gateway.people import token, user
from tests.gateway.trespassing import ADMIN, DAILY, IDS, asked, needed, routes


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
