"""Which addresses are of this machine and the networks behind it, however they are spelled.

Law: addresses at which clouds hand out credentials are never connected to, whoever allows
what; nor is what belongs to no single machine.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Lookup: TypeAlias = Callable[[str], Sequence[str]]

METADATA = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
"""Where AWS, Google, Azure, Alibaba and Oracle tell a machine its credentials."""

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64's prefix, behind which is an address of version 4 (RFC 6052)."""

_UNICAST = IPv6Network("2000::/3")
"""All that has been given out of version 6 (IANA's registry of its address space)."""


def is_refused(text: str, *, allow_private: bool) -> bool:
    """Whether an address must not be connected to."""
    address = _plain(ip_address(text.partition("%")[0]))
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return True
    if address in METADATA:
        return True
    if allow_private:
        return False
    is_given_out = isinstance(address, IPv4Address) or address in _UNICAST
    return not (is_given_out and address.is_global)


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one: it leads to the same machine."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and address in _TRANSLATED:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def addresses_of(host: str) -> list[str]:
    """Every address of a name, as this machine finds them; none if it has none."""
    if not host:
        return []
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(one[4][0]).partition("%")[0] for one in found))
