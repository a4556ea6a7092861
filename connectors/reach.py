"""Where a configuration leads: hosts on the network, and what lies on this machine.

Whoever lets strangers configure connections looks at it before anything is opened.

Law: what is not known to be harmless is taken to lead to this machine.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError

from connectors.addresses import Lookup, addresses_of, is_refused
from connectors.errors import ConfigError

PLACE = re.compile(r"[^/?#]*//([^/?#]*)")
DATABASES = ("postgres", "mysql", "mariadb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """``hosts`` are names or addresses; ``files`` paths of this machine, sockets among them."""

    hosts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def inside(self, lookup: Lookup = addresses_of) -> Iterator[str]:
        """The hosts of which an address is not on the public network."""
        for host in self.hosts:
            if any(is_refused(address, allow_private=False) for address in lookup(host)):
                yield host

    def unknown(self, lookup: Lookup = addresses_of) -> Iterator[str]:
        """The hosts that have no address, so that nobody can say where they lead."""
        return (host for host in self.hosts if not lookup(host))


def hosts_of(url: str) -> tuple[str, ...]:
    """Every host of a URL; several are written with commas in between, one is empty if wrong.

    Each is split by itself: Python's later versions refuse ``a,[::1]`` as one.
    """
    found = PLACE.match(url)
    hosts = found[1].rpartition("@")[2].split(",") if found else [""]
    try:
        return tuple(urlsplit(f"//{host}").hostname or "" for host in hosts)
    except ValueError:
        return ("",)


def reach_of_urls(config: BaseModel) -> Reach:
    """Every URL anywhere within a configuration, secret or not."""
    found = [_reach_of(url) for url in _urls(config)]
    return Reach(
        hosts=tuple(host for one in found for host in one.hosts),
        files=tuple(file for one in found for file in one.files),
    )


def _reach_of(url: str) -> Reach:
    if url.lower().startswith(DATABASES):
        return _reach_of_database(url)
    hosts = hosts_of(url)
    named = tuple(host for host in hosts if host)
    path = url.partition(":")[2].removeprefix("//")
    return Reach(hosts=named, files=() if len(named) == len(hosts) else (path,))


def _reach_of_database(url: str) -> Reach:
    """As the connector ``database`` has it: its options lead to places, too."""
    from connectors.sql.config import DatabaseConfig
    from connectors.sql.reach import reach

    try:
        return reach(DatabaseConfig(url=SecretStr(url)))
    except (ConfigError, ValidationError):
        return Reach(files=("a database's URL that cannot be read",))


def _urls(value: object) -> Iterator[str]:
    match value:
        case str():
            if "://" in value or value.lower().startswith("file:"):
                yield value
        case SecretStr() | SecretBytes() | Secret():
            yield from _urls(value.get_secret_value())
        case bytes():
            yield from _urls(value.decode(errors="replace"))
        case BaseModel():
            for name in type(value).model_fields:
                yield from _urls(getattr(value, name))
        case Mapping():
            for inner in value.values():
                yield from _urls(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from _urls(inner)
        case _:
            text = str(value)
            if "://" in text:
                yield text
