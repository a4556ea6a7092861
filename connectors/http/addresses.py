"""Which addresses are connected to.

Law: the address that was checked is the one connected to. A name is resolved once per
connection, so that a second answer of a hostile name server helps nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import httpcore
import httpx

from connectors.addresses import addresses_of, is_refused
from connectors.errors import ConfigError

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]


def system_resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a host, in the order in which they should be tried."""
    found = addresses_of(host)
    if not found:
        raise httpcore.ConnectError(f"the host {host!r} cannot be resolved")
    return found


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves, checks, and connects to what it has checked; TLS still sees the name."""

    def __init__(self, *, allow_private: bool, resolve: Resolve = system_resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers; `ConfigError` if one is refused."""
        addresses = self._resolve(host, port)
        for address in addresses:
            if is_refused(address, allow_private=self._allow_private):
                raise ConfigError(
                    f"the host {host!r} leads to {address}, an address inside this network; "
                    "set allow_private_addresses on the connection if that is meant"
                )
        failed: Exception = httpcore.ConnectError(f"the host {host!r} has no address")
        for address in addresses:
            try:
                return self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed


class GuardedTransport(httpx.HTTPTransport):
    """httpx's transport on a pool that only connects where it may."""

    def __init__(
        self,
        *,
        connections: int,
        allow_private: bool,
        encrypted: bool,
        resolve: Resolve = system_resolve,
        backend: type[GuardedBackend] = GuardedBackend,
    ) -> None:
        # httpx has no parameter for the backend, so its own pool, which would read proxies
        # and certificates, is not made. A test fails should the name of it change.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False) if encrypted else None,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30.0,
            network_backend=backend(allow_private=allow_private, resolve=resolve),
        )
