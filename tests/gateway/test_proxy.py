"""Dagster's pages behind the gateway: who gets at them, and what passes."""

from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from sync_pipelines.gateway.app import create_app
from sync_pipelines.model.roles import Role
from tests.gateway.dagster_double import raw
from tests.gateway.people import token
from tests.gateway.served import served

SECRETS = ("cookie", "authorization", "x-csrf-token", "x-forwarded-for", "x-real-ip", "x-tenant")


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


def test_an_answer_comes_as_it_is_made(address, boss):
    with httpx.stream("GET", f"{address}/dagster/halves", headers=boss) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        httpx.get(f"{address}/dagster/more", headers=boss)
        rest = b"".join(chunks)

    assert (first, rest) == (b"one", b"two")


def test_only_the_head_is_asked_for_and_told(address, boss):
    answer = httpx.head(f"{address}/dagster/runs", headers=boss)

    assert (answer.status_code, answer.headers["etag"], answer.content) == (200, "abc", b"")


def test_no_proxy_of_the_environment_hears_of_it(astray, address, boss):
    answer = httpx.get(f"{address}/dagster/runs", headers=boss, trust_env=False)

    assert answer.status_code == 200


def test_who_changes_something_is_in_the_log(address, boss):
    with capture_logs() as lines:
        httpx.get(f"{address}/dagster/runs", headers=boss)
        httpx.post(f"{address}/dagster/graphql2", headers=boss, json={})

    (posted,) = (line for line in lines if line["event"] == "dagster.posted")
    assert posted["actor"].startswith("token:")
    assert posted["path"] == "/dagster/graphql2"


def test_a_body_of_unknown_length_streams_through(address, boss):
    answer = httpx.post(f"{address}/dagster/graphql2", headers=boss, content=iter([b"a" * 9, b"b"]))

    assert answer.json()["body"] == "aaaaaaaaab"


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


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE"])
def test_a_method_that_dagsters_pages_do_not_use_is_refused(address, boss, method):
    status, _ = raw(address, f"{method} /dagster/graphql HTTP/1.1", boss)

    assert status == 405


def test_another_method_in_a_header_changes_none(address, boss):
    headers = {**boss, "X-HTTP-Method-Override": "DELETE", "X-Method-Override": "DELETE"}

    told = httpx.get(f"{address}/dagster/runs", headers=headers).json()

    assert told["method"] == "GET"
    assert not any("override" in name for name in told["headers"])
