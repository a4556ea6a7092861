"""Behind `/dagster` are Dagster's pages and nothing else, however a path is written."""

import json
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.gateway.dagster_rules import PathError, own_place, rest_of
from tests.gateway.dagster_double import raw


def test_a_redirect_of_dagsters_stays_with_us_and_another_goes_nowhere(address, upstream, boss):
    places = [f"{upstream}/runs/", "https://evil.example/x", f"{upstream}//evil.example"]

    told = [
        httpx.get(f"{address}/dagster/moved", params={"to": to}, headers=boss).headers.get(
            "location"
        )
        for to in places
    ]

    assert told == ["/dagster/runs/", None, None]


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
