"""The socket of Dagster's pages behind the gateway: who may open it, and what passes."""

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.gateway.dagster_double import raw
from tests.gateway.people import token


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
