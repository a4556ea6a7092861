"""Waits on this machine for a person's consent at a provider: OAuth 2, RFC 8252, 7.3.

Laws:

* An answer counts only with the state that was sent along; others are refused, and the
  waiting goes on.
* It listens on the loopback address alone, and answers nothing but the way back.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic
from urllib.parse import SplitResult, parse_qsl, urlsplit

from connectors.errors import AuthError, ConfigError

LOOPBACK = frozenset({"localhost", "127.0.0.1"})
_DONE = b"<!DOCTYPE html><title>Done</title><p>That is all; this page can be closed.</p>"
_WRONG = b"<!DOCTYPE html><title>Not this one</title><p>This is no answer that is waited for.</p>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Where the way back leads, and for how long somebody stands there."""

    redirect_uri: str
    seconds: float
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @contextmanager
    def listening(self) -> Iterator[Callable[[], Mapping[str, str]]]:
        """What waits for the answer; it listens before the person is sent away."""
        parts = urlsplit(self.redirect_uri)
        if parts.scheme == "http" and parts.hostname in LOOPBACK and parts.port:
            with _server(parts.port) as server:
                yield lambda: self._wait(server, parts)
            return
        yield self._pasted

    def _wait(self, server: _Server, parts: SplitResult) -> Mapping[str, str]:
        server.path, server.state = parts.path or "/", self.state
        until = monotonic() + self.seconds
        while server.answer is None:
            server.timeout = until - monotonic()
            if server.timeout <= 0:
                raise ConfigError(
                    f"nobody came back within {self.seconds:.0f} seconds; try again, or wait "
                    "longer with --wait"
                )
            server.handle_request()
        return server.answer

    def _pasted(self) -> Mapping[str, str]:
        """Where the way back is not this machine: the person brings the address."""
        sys.stderr.write("Paste the address that the browser was sent back to, and press Enter:\n")
        sys.stderr.flush()
        found = dict(parse_qsl(urlsplit(sys.stdin.readline().strip()).query))
        if not secrets.compare_digest(found.get("state", ""), self.state):
            raise AuthError("this is not the address of this authorization; start it again")
        return found


class _Server(HTTPServer):
    path: str = "/"
    state: str = ""
    answer: Mapping[str, str] | None = None

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away is no failure of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        found = dict(parse_qsl(parts.query))
        ours = parts.path == self.server.path and secrets.compare_digest(
            found.get("state", "").encode(), self.server.state.encode()
        )
        if ours:
            self.server.answer = found
        body = _DONE if ours else _WRONG
        self.send_response(200 if ours else 400)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The code that comes back is a secret."""


@contextmanager
def _server(port: int) -> Iterator[_Server]:
    try:
        server = _Server(("127.0.0.1", port), _Handler)
    except OSError as error:
        raise ConfigError(
            f"port {port} is taken; choose another with --redirect-uri, and register that "
            "address with the provider"
        ) from error
    with server:
        yield server
