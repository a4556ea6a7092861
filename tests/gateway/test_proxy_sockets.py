"""The socket of Dagster's pages behind the gateway: who may open it, and what passes."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from sync_pipelines.gateway import dagster as gateway_dagster
from sync_pipelines.gateway.app import create_app
from tests.gateway.dagster_double import raw
from tests.gateway.people import token
from tests.gateway.served import served


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


def test_what_dagster_does_not_speak_is_not_offered_to_it(address, cookie):
    with connect(
        ws(address),
        origin=address,
        additional_headers=cookie,
        subprotocols=[Subprotocol("made-up"), Subprotocol("graphql-ws")],
    ) as client:
        client.send("hello")
        told = json.loads(client.recv(timeout=10))

    assert told["headers"]["sec-websocket-protocol"] == "graphql-ws"


def test_no_proxy_of_the_environment_hears_of_a_socket(astray, address, boss):
    with connect(ws(address), additional_headers=boss, proxy=None) as client:
        client.send("hello")

        assert json.loads(client.recv(timeout=10))["said"] == "hello"


def test_a_socket_that_was_open_for_long_is_closed(address, boss, monkeypatch):
    """Whoever opened it may run the installation no more."""
    monkeypatch.setattr(gateway_dagster, "LONGEST_SECONDS", 0.1)

    with connect(ws(address), additional_headers=boss) as client:
        said = list(client)

    assert (said, client.close_code) == ([], 1001)


def test_when_dagster_breaks_off_the_socket_is_closed(address, boss):
    with connect(ws(address), additional_headers=boss) as client, capture_logs() as lines:
        client.send("fail")
        with suppress(ConnectionClosed):
            client.recv(timeout=10)

    assert client.close_code is not None
    assert [line["event"] for line in lines if line["log_level"] != "info"] == [
        "dagster.socket_lost"
    ]


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1/dagster"])
def test_without_dagster_no_socket_is_opened(doors, boss, url):
    app = create_app(replace(doors, dagster_url=lambda: url))
    with served(app) as address, pytest.raises(InvalidStatus) as refused:
        connect(ws(address), additional_headers=boss)

    assert refused.value.response.status_code == 403


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
