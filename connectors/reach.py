"""Where a configuration leads: hosts on the network, and what lies on this machine.

Whoever lets strangers configure connections looks at it before anything is opened.

Law: what is not known to be harmless is taken to lead to this machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import BaseModel, Secret, SecretBytes, SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """``hosts`` are names or addresses; ``files`` paths of this machine, sockets among them."""

    hosts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def reach_of_urls(config: BaseModel) -> Reach:
    """Every URL anywhere within a configuration, secret or not."""
    hosts: list[str] = []
    files: list[str] = []
    for url in _urls(config):
        try:
            host = urlsplit(url).hostname
        except ValueError:
            host = None
        if host:
            hosts.append(host)
        else:
            files.append(urlsplit(url).path if host is None and "[" not in url else url)
    return Reach(hosts=tuple(hosts), files=tuple(files))


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
