"""Reading hostile bytes: JSON that PostgreSQL can keep, names of a bounded length, ids.

A NUL or half a character in a text becomes U+FFFD: somebody who orders in a shop under
such a name must not make its every webhook fail. The raw bytes are kept as they came.
"""

import json
from collections.abc import Mapping
from datetime import UTC
from hashlib import sha256
from math import isfinite
from typing import Any, NoReturn

from connectors.webhooks.contract import MalformedError, Received

LONGEST = 255
"""Characters of an id or a type."""

DEEPEST = 64
"""Levels of a payload; providers use a dozen."""

_TOO_DEEP = f"the body is nested more than {DEEPEST} levels deep"

REPEATED_WITHIN_SECONDS = 600
"""What comes twice without an id of its own, in the same ten minutes, is the same."""


def read_json(body: bytes) -> Any:
    """A JSON document; `MalformedError` if it is none, or none that can be kept."""
    try:
        value = json.loads(body, parse_constant=_refuse, parse_float=_float)
    except (ValueError, RecursionError) as error:
        raise MalformedError("the body is not JSON") from error
    if not _may_be_unclean(body):
        _check_depth(value, DEEPEST)
        return value
    return _clean(value, DEEPEST)


def read_object(body: bytes) -> Mapping[str, Any]:
    """A JSON object; `MalformedError` if it is none."""
    return as_object(read_json(body), "the body")


def as_object(value: Any, what: str) -> Mapping[str, Any]:
    """The same, if it is an object; `MalformedError` if not."""
    if not isinstance(value, dict):
        raise MalformedError(f"{what} is not an object")
    return value


def as_list(value: Any, what: str) -> list[Any]:
    """The same, if it is an array; `MalformedError` if not."""
    if not isinstance(value, list):
        raise MalformedError(f"{what} is not an array")
    return value


def inside(value: Any, *path: str) -> Any:
    """What lies under a path of names; None where there is nothing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def word(value: Any) -> str | None:
    """A text or a whole number as a name or id; None for anything else, and for nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return bounded(clean_text(text)) if text else None


def needed(value: Any, what: str) -> str:
    """Like `word`; `MalformedError` where there is none."""
    found = word(value)
    if found is None:
        raise MalformedError(f"{what} is missing")
    return found


def bounded(text: str) -> str:
    """A text of at most `LONGEST` characters: of a longer one its beginning and its hash."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 65]}~{sha256(text.encode()).hexdigest()}"


def fingerprint(*parts: str | bytes | None) -> str:
    """An id made of what a notice says."""
    digest = sha256()
    for part in parts:
        held = part if isinstance(part, bytes) else (part or "").encode("utf-8", "replace")
        digest.update(len(held).to_bytes(8) + held)
    return digest.hexdigest()[:40]


def repeated_id(request: Received, *parts: str | None) -> str:
    """The id of what has none: its bytes, and the ten minutes in which they came.

    For ever would be too long: a value that changes there and back sends the same bytes
    again, and that is news.
    """
    span = int(request.at.astimezone(UTC).timestamp()) // REPEATED_WITHIN_SECONDS
    return fingerprint(request.body, str(span), *parts)


def plural(entity: str | None) -> tuple[str, ...]:
    """The name that a stream of such records usually has: ``order``, ``orders``."""
    if not entity:
        return ()
    if entity.endswith("y") and entity[-2:-1] not in "aeiou":
        return (f"{entity[:-1]}ies",)
    return (entity if entity.endswith("s") else f"{entity}s",)


def clean_text(text: str) -> str:
    """The text without what PostgreSQL cannot keep."""
    if "\x00" not in text and text.isascii():
        return text
    return (
        text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _may_be_unclean(body: bytes) -> bool:
    """Whether there may be a text in it that is to be changed; most of what comes is plain.

    With a NUL among the bytes it is UTF-16 or 32, in which an escape looks otherwise.
    """
    return not body.isascii() or b"\\u" in body or b"\x00" in body


def _check_depth(value: Any, levels: int) -> None:
    if isinstance(value, dict | list):
        if levels == 0:
            raise MalformedError(_TOO_DEEP)
        for each in value.values() if isinstance(value, dict) else value:
            _check_depth(each, levels - 1)


def _clean(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if not isinstance(value, dict | list):
        return value
    if levels == 0:
        raise MalformedError(_TOO_DEEP)
    if isinstance(value, list):
        return [_clean(each, levels - 1) for each in value]
    return {clean_text(name): _clean(each, levels - 1) for name, each in value.items()}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _float(written: str) -> float:
    value = float(written)
    if not isfinite(value):
        raise ValueError("a number is too large")
    return value
