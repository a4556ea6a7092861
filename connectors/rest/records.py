"""Finding values inside a decoded body.

A path is written with dots (``data.items``) or as a JSON pointer (``/data/items``), for
names that contain dots; an empty one is the body itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from connectors.errors import ConfigError

Record: TypeAlias = Mapping[str, Any]


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[str, ...]:
    """The names that a path goes through."""
    if path.startswith("/"):
        return tuple(
            part.replace("~1", "/").replace("~0", "~") for part in path.removeprefix("/").split("/")
        )
    return tuple(path.split(".")) if path else ()


def find(body: Any, path: str) -> Any:
    """The value at a path; None if the path leads nowhere."""
    for name in steps(path):
        if isinstance(body, Mapping):
            body = body.get(name)
        elif isinstance(body, Sequence) and not isinstance(body, str) and name.isdigit():
            body = body[int(name)] if int(name) < len(body) else None
        else:
            return None
    return body


def records_at(body: Any, path: str, *, stream: str) -> Sequence[Record]:
    """The records of a page; no list at all counts as an empty one, another thing does not."""
    found = find(body, path)
    if found is None and path:
        parent = find(body, "/" + "/".join(steps(path)[:-1])) if len(steps(path)) > 1 else body
        if isinstance(parent, Mapping):
            return ()
    if isinstance(found, Mapping):
        return (found,)
    if isinstance(found, list) and all(isinstance(one, Mapping) for one in found):
        return found
    there = f"; the answer has: {', '.join(list(body)[:10])}" if isinstance(body, Mapping) else ""
    where = f"at {path!r}" if path else "(the whole answer)"
    raise ConfigError(
        f"stream {stream!r}: records {where} is no list of objects{there}; set records to "
        "where the list is"
    )
