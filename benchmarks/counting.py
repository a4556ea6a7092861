"""Counts what processes ask of PostgreSQL, from between them and the server.

They are given the URL of a socket of ours, which passes every byte on. That counts one
process's statements and nobody else's, on any server, without an extension.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import unpack_from
from threading import Thread

from sqlalchemy import URL, make_url

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
STATEMENTS = b"QE"
"""A simple query, and an execution of a prepared one: https://www.postgresql.org/docs/18/protocol-message-formats.html"""
CHUNK = 65536


class Requests:
    """What one client has said so far. Its requests may come in pieces."""

    def __init__(self) -> None:
        self.connections = 0
        self.statements = 0
        self._rest = bytearray()
        self._is_open = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._rest += data
        while True:
            kind = 1 if self._is_open else 0  # the first message has no letter
            if len(self._rest) < kind + 4:
                return
            (length,) = unpack_from("!I", self._rest, kind)
            if len(self._rest) < kind + length:
                return
            self._count(bytes(self._rest[:8]))
            del self._rest[: kind + length]

    def _count(self, head: bytes) -> None:
        if self._is_open:
            self.statements += head[:1] in STATEMENTS
            return
        (code,) = unpack_from("!I", head, 4)
        if code not in (SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST):
            self._is_open = True
            self.connections = 1


class Counter:
    """All clients together."""

    def __init__(self) -> None:
        self.clients: list[Requests] = []

    @property
    def connections(self) -> int:
        """How many were opened."""
        return sum(client.connections for client in self.clients)

    @property
    def statements(self) -> int:
        """How many were sent."""
        return sum(client.statements for client in self.clients)


@contextmanager
def counted(url: str, directory: Path) -> Iterator[tuple[str, Counter]]:
    """A URL that leads to the same database, past a counter; its socket is in ``directory``."""
    target = make_url(url)
    counter = Counter()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / f".s.PGSQL.{target.port or 5432}"))
        listener.listen(256)
        Thread(target=_accept, args=(listener, target, counter), daemon=True).start()
        ours = target.set(host=None).update_query_dict({"host": str(directory)})
        try:
            yield ours.render_as_string(hide_password=False), counter
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: URL, counter: Counter) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        requests = Requests()
        counter.clients.append(requests)
        Thread(target=_serve, args=(client, target, requests), daemon=True).start()


def _serve(client: socket.socket, target: URL, requests: Requests) -> None:
    with client, _connected(target) as server:
        back = Thread(target=_pass_on, args=(server, client, None), daemon=True)
        back.start()
        _pass_on(client, server, requests)
        back.join()


def _connected(target: URL) -> socket.socket:
    host = target.query.get("host", target.host or "127.0.0.1")
    port = target.port or 5432
    if isinstance(host, str) and host.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server
    return socket.create_connection((str(host), port))


def _pass_on(giver: socket.socket, taker: socket.socket, requests: Requests | None) -> None:
    with suppress(OSError):
        while data := giver.recv(CHUNK):
            if requests is not None:
                requests.feed(data)
            taker.sendall(data)
    for end in (giver, taker):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
