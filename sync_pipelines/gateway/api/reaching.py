"""Where a tenant's connection may lead: not to this machine, nor into networks behind it.

Laws:

* Who is no instance admin names only hosts whose every address is public, and only files
  under ``SYNC_TENANT_FILES/TENANT``. What cannot be looked up cannot be judged, and is
  refused.
* It is judged when it is saved. A name may lead elsewhere later: the last wall against
  that is what the machine's network lets out.
"""

import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from connectors import registry
from connectors.reach import Reach
from sync_pipelines.apply.manifest import WantedConnection
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import Caller
from sync_pipelines.gateway.problems import FieldError, ProblemError
from sync_pipelines.model.sync import Connection
from sync_pipelines.settings import Settings

Resolve = Callable[[str], list[str]]


def check_reach(
    wanted: WantedConnection, held: Connection | None, *, caller: Caller, doors: Doors
) -> None:
    """End the request with 422 if a connection leads where its tenant may not go.

    What it led to before, as ``held``, it may lead to still.
    """
    if caller.identity.is_instance_admin:
        return
    connector = registry.get(wanted.connector)
    reach = connector.reached({**wanted.config, **wanted.secrets})
    if held is not None and connector.reached(held.config) == reach:
        return
    refusals = list(refused(reach, doors.settings, tenant=caller.tenant.name))
    if refusals:
        errors = [FieldError(field="body.config", message=one) for one in refusals]
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(refusals), errors=errors)


def addresses(host: str) -> list[str]:
    """Every address of a name; none if it has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(one[4][0]).partition("%")[0] for one in found]


def refused(
    reach: Reach, settings: Settings, *, tenant: str, resolve: Resolve = addresses
) -> Iterator[str]:
    """Why a tenant may not go there, for each place where it may not."""
    for file in reach.files:
        if not _is_own(file, settings.tenant_files, tenant):
            yield (
                f"config names {file!r} of the machine that syncs run on, which only an instance "
                "admin may do; name a database on a server"
            )
    if settings.allow_private_addresses:
        return
    for host in reach.hosts:
        found = resolve(host)
        if not found:
            yield f"config names host {host!r}, which has no address; check its spelling"
        elif not all(map(is_public, found)):
            yield (
                f"config names host {host!r}, which is not on the public network; only an "
                "instance admin may name one that is not"
            )


def is_public(address: str) -> bool:
    """Whether an address belongs to the public network, however it is wrapped."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo and found.teredo[1])
        if inner:
            return is_public(str(inner))
        if found in _TRANSLATED:
            return is_public(str(IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast


_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64's prefix, behind which is an address of version 4 (RFC 6052)."""


def _is_own(file: str, allowed: Path | None, tenant: str) -> bool:
    if allowed is None or not file.startswith("/"):
        return False
    own = (allowed / tenant).resolve()
    return Path(file).resolve().is_relative_to(own)
