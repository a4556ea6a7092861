"""What holds for every route there is, also for those that come later.

Law: routes are read from the application; of what its document does not describe there is
a table here, and what is not in it fails.
"""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text
from structlog.testing import capture_logs

from sync_pipelines.gateway.app import ROUTERS
from sync_pipelines.model.roles import Role
from sync_pipelines.model.scopes import RESOURCES, resource_of
from tests.gateway.people import PASSWORD, token, user

OPEN = ("/health/", "/webhooks/", "/api/v2/session", "/api/openapi.json", "/api/docs")
"""Where one comes in without being known: probes, signed webhooks, signing in, the document."""

METHODS = ("get", "post", "put", "patch", "delete")

UNDESCRIBED = {
    "GET /": 303,
    "GET /account": 303,
    "GET /api/docs": 200,
    "GET /connections/callback": 401,
    "GET /dagster": 401,
    "HEAD /dagster": 401,
    "POST /dagster": 401,
    "GET /dagster/{rest:path}": 401,
    "HEAD /dagster/{rest:path}": 401,
    "POST /dagster/{rest:path}": 401,
    "GET /favicon-run-{status}.svg": 422,  # a redirect where there is such a status
    "GET /first-admin": 404,
    "POST /first-admin": 404,
    "GET /metrics": 401,
    "GET /sign-in": 200,
    "POST /sign-in": 401,
    "GET /sign-in/oidc": 404,
    "GET /sign-in/oidc/callback": 404,
    "POST /sign-out": 303,
    "GET /syncs/{tenant}/{sync}": 401,
    "GET /unsubscribe": 422,
    "POST /unsubscribe": 422,
}
"""What is not in the document, and what somebody hears there whose token was revoked.

Webhooks are taken before any route; tests of their own are about them.
"""


def routes(client):
    """Method and path of everything in the document, with some id in each place of one."""
    for path, operations in client.app.openapi()["paths"].items():
        for method in METHODS:
            if method in operations and not path.startswith(OPEN):
                yield (
                    method,
                    re.sub(r"\{\w*id\}", str(uuid4()), path).replace("{", "").replace("}", ""),
                )


def codes(client, world, headers, which):
    """What is answered at each; so slowly that no limit is reached."""
    answered: dict[str, int] = {}
    for method, path in which:
        world.clock.advance(seconds=10)
        answer = client.request(method, path, headers=headers, json={})
        answered[f"{method} {path}"] = answer.status_code
    return answered


def test_nobody_comes_in_unknown(client, world):
    """R128. A route that forgot to ask who is there is named here."""
    answered = codes(client, world, {}, routes(client))

    assert "get /api/v2/me" in answered
    assert {route: code for route, code in answered.items() if code != 401} == {}


@pytest.mark.parametrize("how", ["expired", "revoked"])
def test_a_token_that_is_over_comes_in_nowhere(client, world, how):
    """R128, R131."""
    until = world.clock() + timedelta(seconds=1) if how == "expired" else None
    headers = token(world, "acme", Role.ADMIN, expires_at=until)
    if how == "revoked":
        with world.catalog.begin() as db:
            db.execute(text("UPDATE sync.api_tokens SET revoked_at = now()"))

    answered = codes(client, world, headers, routes(client))

    assert {route: code for route, code in answered.items() if code != 401} == {}


@pytest.mark.parametrize("how", ["signed out", "expired", "removed"])
def test_a_session_that_is_over_comes_in_nowhere(client, world, how):
    user(world, acme=Role.ADMIN)
    opened = client.post("/api/v2/session", json={"email": "ana@example.com", "password": PASSWORD})
    headers = {"X-CSRF-Token": opened.json()["csrf_token"]}
    secret = client.cookies["sync_session"]
    if how == "signed out":
        client.delete("/api/v2/session", headers=headers)
        client.cookies.set("sync_session", secret)
    elif how == "expired":
        world.clock.advance(hours=12)
    else:
        with world.catalog.begin() as db:
            db.execute(text("DELETE FROM sync.users"))

    answered = codes(client, world, headers, routes(client))

    assert {route: code for route, code in answered.items() if code != 401} == {}


def test_a_change_by_cookie_that_does_not_say_the_sessions_word_is_done_nowhere(client, world):
    user(world, acme=Role.ADMIN)
    client.post("/api/v2/session", json={"email": "ana@example.com", "password": PASSWORD})
    changes = [(method, path) for method, path in routes(client) if method != "get"]

    answered = codes(client, world, {"X-CSRF-Token": "a guess"}, changes)

    assert len(answered) > 30
    assert {route: code for route, code in answered.items() if code != 403} == {}


def test_a_token_for_other_things_comes_in_nowhere_but_to_itself(client, world):
    """R129: the scope that nothing of the API is about."""
    headers = token(world, None, Role.ADMIN, scopes=("users:read",))

    answered = codes(client, world, headers, routes(client))

    assert answered.pop("get /api/v2/me") == 200
    assert {route: code for route, code in answered.items() if code != 403} == {}


def test_a_token_that_may_only_look_changes_nothing(client, world):
    """R129: of each resource, by its own scope."""
    changes = [(method, path) for method, path in routes(client) if method != "get"]
    looked_at = {resource for _, path in changes if (resource := resource_of(path))}
    found: dict[str, int] = {}
    for resource in looked_at & set(RESOURCES):
        headers = token(world, None, Role.ADMIN, scopes=(f"{resource}:read",))
        its = [(method, path) for method, path in changes if resource_of(path) == resource]
        found |= codes(client, world, headers, its)

    assert {route: code for route, code in found.items() if code != 403} == {}
    assert looked_at - set(RESOURCES) == set()


def test_a_suspended_tenants_token_comes_in_nowhere(client, world):
    headers = token(world, "acme", Role.ADMIN)
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.tenants SET is_active = false"))

    answered = codes(client, world, headers, routes(client))

    assert {route: code for route, code in answered.items() if code != 403} == {}


def test_no_route_breaks_over_a_request_without_a_body(client, world):
    found = list(routes(client))
    headers = token(world, "acme", Role.VIEWER)

    codes = [client.request(method, path, headers=headers).status_code for method, path in found]

    assert {code for code in codes if code >= 500} == set()


def test_what_the_document_does_not_describe_is_known_here(client, world):
    """Pages, and Dagster's: a new one of them is named by this test."""
    headers = token(world, None, Role.ADMIN)
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.api_tokens SET revoked_at = now()"))
    fields = {"email": "a@b.c", "password": "x" * 12, "key": "k", "csrf": "c"}
    answered: dict[str, int] = {}
    for route in sorted(undescribed()):
        method, path = route.split(" ")
        world.clock.advance(minutes=10)
        answer = client.request(
            method,
            re.sub(r"\{[\w:]+\}", "x", path),
            headers=headers,
            params={"key": "k"},
            data=fields if method == "POST" else None,
            follow_redirects=False,
        )
        answered[route] = answer.status_code

    assert answered == UNDESCRIBED


def undescribed():
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute) and not route.include_in_schema:
                yield from (f"{method} {route.path}" for method in route.methods)


def test_there_is_no_route_that_these_tests_do_not_read(client):
    """One beside the routers, or one that is no plain request, would be met by none of them."""
    beside = [
        route.path
        for route in client.app.routes
        if getattr(route, "original_router", None) not in ROUTERS
    ]
    special = [
        getattr(route, "path", route)
        for router in ROUTERS
        for route in router.routes
        if not isinstance(route, APIRoute)
    ]

    assert beside == ["/api/openapi.json"]
    assert special == ["/dagster/graphql"]  # a socket, with tests of its own


@pytest.mark.parametrize("path", ["/api/v2/tokens", "/api/v2/audit"])
def test_the_line_in_the_log_says_who_asked_and_for_whom(client, world, path):
    with capture_logs() as lines:
        client.get(path, headers=token(world, "acme"))

    (line,) = [line for line in lines if line["event"] == "http.request"]
    assert line["tenant"] == "acme"
    assert line["actor"].startswith("token:")
    assert line["status"] == 200
