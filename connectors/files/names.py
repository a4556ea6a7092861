"""Patterns of names: ``*`` and ``?`` stay within one directory, ``**`` does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from connectors.files.stores import Object, Store

_SPECIAL = re.compile(r"\*\*/|\*\*|\*|\?|\[[^]]+\]")


@lru_cache
def pattern(text: str) -> re.Pattern[str]:
    """A pattern of names as a regular expression."""
    parts, at = [], 0
    for found in _SPECIAL.finditer(text):
        parts.append(re.escape(text[at : found.start()]))
        parts.append(_expression(found[0]))
        at = found.end()
    parts.append(re.escape(text[at:]))
    return re.compile("".join(parts), re.DOTALL)


def _expression(special: str) -> str:
    if special == "**/":
        return "(?:.*/)?"
    if special == "**":
        return ".*"
    if special == "*":
        return "[^/]*"
    if special == "?":
        return "[^/]"
    inner = special[1:-1].replace("\\", r"\\")
    return f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]"


def fixed_directory(text: str) -> str:
    """The directory that every name of a pattern lies in, as far as it is certain."""
    plain = _SPECIAL.split(text, maxsplit=1)[0]
    return plain.rpartition("/")[0]


def matching(text: str, store: Store) -> Iterator[Object]:
    """The objects whose names a pattern matches."""
    wanted = pattern(text)
    return (one for one in store.list(fixed_directory(text)) if wanted.fullmatch(one.name))
