"""Bounds a whole exchange over HTTP: httpx bounds each read alone, and a peer that sends a byte
now and then would hold its sender for ever.
"""

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import local
from time import monotonic
from typing import Any

import httpcore

from connectors.http.addresses import GuardedBackend, Resolve, system_resolve

_own = local()


@contextmanager
def within(seconds: float, *, timer: Callable[[], float] = monotonic) -> Iterator[None]:
    """Let everything that this thread exchanges meanwhile take no longer, all in all."""
    ends = timer() + seconds
    _own.left = lambda: ends - timer()
    try:
        yield
    finally:
        del _own.left


class BoundedBackend(GuardedBackend):
    """Connects where it may, and heeds what `within` says."""

    def __init__(self, *, allow_private: bool, resolve: Resolve = system_resolve) -> None:
        super().__init__(allow_private=allow_private, resolve=resolve)
        self._inner = _Steps()


class _Steps(httpcore.SyncBackend):
    """Each address of a host has what is left when its turn comes."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        bound = _left(timeout, httpcore.ConnectTimeout)
        return _Bounded(super().connect_tcp(host, port, bound, local_address, socket_options))


class _Bounded(httpcore.NetworkStream):
    """A connection of which each step has what is left of the time for all."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is."""
        return self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all."""
        self._inner.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Go on encrypted."""
        bound = _left(timeout, httpcore.ConnectTimeout)
        return _Bounded(self._inner.start_tls(ssl_context, server_hostname, bound))

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection."""
        return self._inner.get_extra_info(info)


def _left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    """What is left of the time: of one step, and of all."""
    left = getattr(_own, "left", None)
    if left is None:
        return timeout
    seconds: float = left()
    if seconds <= 0:
        raise error("no time is left")
    return seconds if timeout is None else min(seconds, timeout)
