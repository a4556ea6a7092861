"""A provider that takes no connection."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from connectors.errors import TransientError
from connectors.http.client import HttpClient, Limits


@pytest.fixture
def deaf() -> Iterator[str]:
    """A server on loopback that accepts nobody, and whose queue is full."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_who_takes_no_connection_is_left_in_time(deaf: str) -> None:
    limits = Limits(tries=1, connect_seconds=0.2, read_seconds=30)

    with (
        closing(HttpClient(base_url=deaf, limits=limits, allow_private=True)) as client,
        pytest.raises(TransientError, match=r"took no connection in time \(0.2 s\)"),
    ):
        client.get("/orders")
