"""What may pass on its way to Dagster and back, and in which spelling.

Laws:

* What is not on a list does not pass: no cookie, no token, no word of a proxy, nothing
  that speaks about the connection.
* A path that could be read in two ways is refused, not put right.
"""

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

PREFIX = b"/dagster"

TO_DAGSTER = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"range",
        b"user-agent",
    }
)

FROM_DAGSTER = frozenset(
    {
        b"accept-ranges",
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-security-policy",
        b"content-type",
        b"etag",
        b"feature-policy",
        b"last-modified",
        b"referrer-policy",
        b"vary",
    }
)

_PATH = re.compile(rb"/dagster(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")
_QUERY = re.compile(rb"[\x21-\x7e]*")
_TWO_WAYS = re.compile(rb"[/\\\x00-\x1f\x7f]")


class PathError(Exception):
    """A path that does not pass."""


def rest_of(raw_path: bytes, query: bytes) -> bytes:
    """What follows `PREFIX`, as it was written, with its query; `PathError` if it may not pass.

    A part that is ``.`` or ``..``, or holds a slash, a backslash or a control character,
    however often they are percent-encoded, may not.
    """
    if not _PATH.fullmatch(raw_path) or not _QUERY.fullmatch(query):
        raise PathError("there are characters in it that no path of Dagster has")
    rest = raw_path.removeprefix(PREFIX)
    parts = rest.split(b"/")
    if b"" in parts[1:-1] or any(_is_trick(part) for part in parts):
        raise PathError("there is a part in it that leads elsewhere")
    return (rest or b"/") + (b"?" + query if query else b"")


def _is_trick(part: bytes) -> bool:
    while True:
        plain = unquote_to_bytes(part)
        if plain in (b".", b"..") or _TWO_WAYS.search(plain):
            return True
        if plain == part:
            return False
        part = plain


def passed(headers: Iterable[tuple[bytes, bytes]], allowed: frozenset[bytes]) -> Headers:
    """Those of the headers that may pass."""
    return [(name.lower(), value) for name, value in headers if name.lower() in allowed]


def own_place(location: str, dagster_url: str) -> str | None:
    """Where Dagster redirects to, as a path of ours; None if that is no place of Dagster's."""
    origin = "/".join(dagster_url.split("/")[:3])
    path = location.removeprefix(origin)
    base = dagster_url.removeprefix(origin)
    rest = path.removeprefix(base)
    if not path.startswith(base) or (rest and not rest.startswith(("/", "?"))):
        return None
    if rest.startswith("//") or "\\" in rest or not rest.isprintable():
        return None
    return PREFIX.decode() + rest
