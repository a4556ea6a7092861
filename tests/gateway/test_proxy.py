"""Dagster's pages behind the gateway: who gets at them, and what passes."""

import http.client
import json
import socket as sockets
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from sync_pipelines.catalog.sessions import open_session
from sync_pipelines.catalog.users import make_user
from sync_pipelines.gateway.app import create_app
from sync_pipelines.gateway.dagster_rules import PathError, own_place, rest_of
from sync_pipelines.model.roles import Role
from tests.gateway.people import token
from tests.gateway.served import served

SECRETS = ("cookie", "authorization", "x-csrf-token", "x-forwarded-for", "x-real-ip", "x-tenant")


def dagster():
    """What stands in for Dagster's webserver: tells what it was asked."""

    async def echo(request):
        return JSONResponse(
            {
                "method": request.method,
                "path": request.scope["raw_path"].decode(),
                "query": request.url.query,
                "headers": dict(request.headers),
                "body": (await request.body()).decode(),
            },
            headers={"Set-Cookie": "theirs=1", "X-Inner": "secret", "ETag": "abc"},
        )

    async def large(request):
        async def chunks():
            for _ in range(64):
                yield b"x" * 65536

        return StreamingResponse(chunks())

    async def moved(request):
        return RedirectResponse(request.query_params["to"])

    async def talk(websocket):
        await websocket.accept("graphql-ws" if websocket.scope["subprotocols"] else None)
        headers = dict(websocket.headers)
        while True:
            said = await websocket.receive_text()
            if said == "end":
                await websocket.close()
                return
            await websocket.send_text(json.dumps({"said": said, "headers": headers}))

    routes = [
        Route("/large", large),
        Route("/moved", moved),
        Route("/broken", lambda _: Response(status_code=500)),
        WebSocketRoute("/graphql", talk),
        Route("/{path:path}", echo, methods=["GET", "POST"]),
    ]
    return Starlette(routes=[Mount("/dagster", routes=routes)])


@pytest.fixture(scope="module")
def upstream():
    with served(dagster()) as address:
        yield f"{address}/dagster"


@pytest.fixture
def address(doors, upstream):
    with served(create_app(replace(doors, dagster_url=lambda: upstream))) as address:
        yield address


@pytest.fixture
def boss(world):
    """The header of whoever runs the installation."""
    return token(world, None)


@pytest.fixture
def cookie(world):
    """The header of a browser in which they are signed in."""
    with world.catalog.begin() as db:
        made = make_user(db, "boss@example.com", password_hash=None, now=world.clock())
        db.execute(text("UPDATE sync.users SET is_instance_admin = true"))
        opened = open_session(db, made.id, lasts=timedelta(hours=1), now=world.clock())
    return {"Cookie": f"sync_session={opened.secret}; other=1"}


def test_only_who_runs_the_installation_gets_at_them(address, world, boss):
    """Dagster shows all tenants: an admin of one is nobody here."""
    codes = [
        httpx.get(f"{address}/dagster/runs", headers=headers).status_code
        for headers in ({}, token(world), token(world, None, Role.OPERATOR), boss)
    ]

    assert codes == [401, 403, 403, 200]


def test_a_browser_that_is_not_signed_in_is_led_to_where_it_can(address):
    answer = httpx.get(f"{address}/dagster/runs", headers={"Accept": "text/html"})

    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/dagster/runs"


def test_a_request_arrives_with_path_query_and_body_as_they_were(address, boss):
    answer = httpx.post(
        f"{address}/dagster/assets/a%20b?q=%2Fx&y=1",
        headers={**boss, "Content-Type": "application/json"},
        content=b'{"query": "{ version }"}',
    )

    told = answer.json()
    assert told["path"] == "/dagster/assets/a%20b"
    assert told["query"] == "q=%2Fx&y=1"
    assert told["body"] == '{"query": "{ version }"}'
    assert told["headers"]["content-type"] == "application/json"


def test_nothing_by_which_one_is_known_is_passed_on(address, boss, cookie):
    headers = dict.fromkeys(SECRETS[2:], "1") | boss | cookie
    headers |= {"Connection": "close, X-Smuggled", "X-Smuggled": "1", "TE": "trailers"}

    answer = httpx.get(f"{address}/dagster/runs", headers=headers)

    passed = answer.json()["headers"]
    assert not {*SECRETS, "te", "x-smuggled"} & passed.keys()
    assert passed["host"].startswith("127.0.0.1:")
    assert passed["host"] != urlsplit(address).netloc
    assert "sync_session" not in answer.text


def test_of_an_answer_only_what_is_known_comes_back(address, boss):
    answer = httpx.get(f"{address}/dagster/runs", headers=boss)

    assert answer.headers["etag"] == "abc"
    assert "set-cookie" not in answer.headers
    assert "x-inner" not in answer.headers
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"


def test_a_large_answer_streams_through(address, boss):
    answer = httpx.get(f"{address}/dagster/large", headers=boss)

    assert len(answer.content) == 64 * 65536


def test_a_body_of_unknown_length_streams_through(address, boss):
    answer = httpx.post(f"{address}/dagster/graphql2", headers=boss, content=iter([b"a" * 9, b"b"]))

    assert answer.json()["body"] == "aaaaaaaaab"


def test_a_redirect_of_dagsters_stays_with_us_and_another_goes_nowhere(address, upstream, boss):
    places = [f"{upstream}/runs/", "https://evil.example/x", f"{upstream}//evil.example"]

    told = [
        httpx.get(f"{address}/dagster/moved", params={"to": to}, headers=boss).headers.get(
            "location"
        )
        for to in places
    ]

    assert told == ["/dagster/runs/", None, None]


def test_the_sign_of_a_run_is_found_where_dagsters_pages_ask_for_it(address, boss):
    """They ask at the root, which is ours."""
    answer = httpx.get(f"{address}/favicon-run-success.svg", headers=boss, follow_redirects=True)

    assert answer.json()["path"] == "/dagster/favicon-run-success.svg"


def test_a_failure_of_dagsters_is_told_as_it_is(address, boss):
    assert httpx.get(f"{address}/dagster/broken", headers=boss).status_code == 500


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1/dagster"])
def test_without_dagster_it_says_so(doors, boss, url):
    with served(create_app(replace(doors, dagster_url=lambda: url))) as address:
        answer = httpx.get(f"{address}/dagster/runs", headers=boss)

    assert answer.status_code == 503
    assert "Dagster's pages" in answer.json()["detail"]


def raw(address, line, headers):
    """The status of a request whose first line nobody tidies up."""
    where = urlsplit(address)
    lines = [line, f"Host: {where.netloc}"]
    lines += [] if "Connection" in headers else ["Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with sockets.create_connection((where.hostname, where.port), timeout=10) as plain:
        plain.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = http.client.HTTPResponse(plain)
        answer.begin()
        return answer.status, answer.read()


@pytest.mark.parametrize(
    "path",
    [
        "/dagster/../api/v2/tokens",
        "/dagster/%2e%2e/api/v2/tokens",
        "/dagster/%252e%252e/api",
        "/dagster/..%2fserver_info",
        "/dagster/..%5cserver_info",
        "/dagster/a/./b",
        "/dagster//evil.example/x",
        "/dagster/a%00b",
        "/dagster/a%0d%0aX-Evil:%201",
        "/dagster/a\\b",
        "/dagster/a;x=%2e%2e%2f",
        "/dagster/a%c0%ae%2e/b%2f",
    ],
)
def test_a_path_that_may_lead_elsewhere_is_refused(address, boss, path):
    status, body = raw(address, f"GET {path} HTTP/1.1", boss)

    assert status in (400, 404), body


@pytest.mark.parametrize(
    "line",
    [
        "GET http://evil.example/dagster/runs HTTP/1.1",
        "GET http://127.0.0.1:1/dagster/runs HTTP/1.1",
    ],
)
def test_an_absolute_address_leads_to_dagster_or_nowhere(address, upstream, boss, line):
    status, body = raw(address, line, boss)

    if status == 200:
        assert json.loads(body)["headers"]["host"] == urlsplit(upstream).netloc
    else:
        assert status in (400, 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"Transfer-Encoding": "chunked", "Content-Length": "5"},
        {"Transfer-Encoding": "chunked, identity"},
        {"Content-Length": "+5"},
        {"Content-Length": "5, 6"},
    ],
)
def test_a_body_whose_end_could_be_read_in_two_ways_is_refused(address, boss, headers):
    status, _ = raw(address, "POST /dagster/graphql HTTP/1.1", {**boss, **headers})

    assert status in (400, 413, 501)


@given(st.binary(max_size=40))
def test_no_path_reaches_what_is_not_dagsters(path):
    """Whatever passes is read by every server as below the prefix."""
    try:
        rest = rest_of(b"/dagster/" + path, b"")
    except PathError:
        return

    joined = httpx.URL("http://dagster").join("/dagster" + rest.decode())
    assert joined.raw_path.startswith(b"/dagster/")
    assert joined.host == "dagster"
    assert b".." not in rest.split(b"/")


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("http://d:3000/dagster/runs?x=1", "/dagster/runs?x=1"),
        ("/dagster/runs", "/dagster/runs"),
        ("/dagster", "/dagster"),
        ("/dagsterX", None),
        ("/api/v2/tokens", None),
        ("http://d:3000.evil.example/dagster", None),
        ("//evil.example/dagster", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_where_a_redirect_leads(location, place):
    assert own_place(location, "http://d:3000/dagster") == place


@pytest.mark.parametrize(
    ("origin", "code"),
    [(None, 403), ("https://evil.example", 403), ("null", 403), ("own", 200)],
)
def test_a_change_by_cookie_must_come_from_a_page_of_ours(address, cookie, origin, code):
    headers = {**cookie, **({} if origin is None else {"Origin": origin})}
    if origin == "own":
        headers["Origin"] = address

    answer = httpx.post(f"{address}/dagster/graphql2", headers=headers, json={})

    assert answer.status_code == code


def ws(address, path="/dagster/graphql"):
    return f"ws{address.removeprefix('http')}{path}"


def test_messages_pass_both_ways_and_secrets_do_not(address, cookie):
    with connect(
        ws(address),
        origin=address,
        additional_headers=cookie,
        subprotocols=[Subprotocol("graphql-ws")],
    ) as client:
        client.send("hello")
        told = json.loads(client.recv(timeout=10))
        client.send("end")
        closed = list(client)

    assert client.subprotocol == "graphql-ws"
    assert told["said"] == "hello"
    assert not {"cookie", "authorization", "origin"} & told["headers"].keys()
    assert closed == []


def test_a_socket_needs_who_runs_the_installation_and_a_page_of_ours(address, world, cookie):
    attempts = [
        (address, {}),
        (address, token(world)),
        ("https://evil.example", cookie),
        (None, cookie),
    ]

    for origin, headers in attempts:
        with pytest.raises(InvalidStatus) as refused:
            connect(ws(address), origin=origin, additional_headers=headers)
        assert refused.value.response.status_code == 403


def test_a_socket_elsewhere_is_not_opened(address, boss):
    with pytest.raises(InvalidStatus):
        connect(ws(address, "/dagster/other"), additional_headers=boss)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"])
def test_a_method_that_dagsters_pages_do_not_use_is_refused(address, boss, method):
    status, _ = raw(address, f"{method} /dagster/graphql HTTP/1.1", boss)

    assert status == 405


def test_another_method_in_a_header_changes_none(address, boss):
    headers = {**boss, "X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}

    told = httpx.get(f"{address}/dagster/runs", headers=headers).json()

    assert told["method"] == "GET"
    assert not any("override" in name for name in told["headers"])


@pytest.mark.parametrize(
    "path",
    [
        "/dagster/%2e%2e/dagster/graphql",
        "/dagster//graphql",
        "/dagster/graphql/%2e%2e%2fother",
        "/dagster/%67raphql%00",
        "/DAGSTER/graphql",
    ],
)
def test_a_socket_by_a_path_that_may_lead_elsewhere_is_not_opened(address, boss, path):
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    status, _ = raw(address, f"GET {path} HTTP/1.1", {**boss, **upgrade})

    assert status in (400, 403, 404)
