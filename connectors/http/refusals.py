"""What a status means for the tenant: which error, in the provider's own words.

::

    401, 403           AuthError
    408, 425, 5xx      TransientError
    429                RateLimitedError
    3xx, other 4xx     ConfigError
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

import msgspec

from connectors.errors import (
    AuthError,
    ConfigError,
    ConnectorError,
    RateLimitedError,
    TransientError,
)
from connectors.http.call import Answer
from connectors.http.redact import shown_url
from connectors.http.signals import left, retry_after

LONGEST_MESSAGE = 300
_SPOKEN = ("message", "Message", "error_description", "detail", "Detail", "title", "hint", "reason")
_AROUND = ("error", "errors", "Fault", "fault", "Error", "data", "error_details")
_TRANSIENT = frozenset({408, 425, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524, 529})


def refusal(answer: Answer, now: datetime) -> ConnectorError | None:
    """The error that a status stands for; None for success."""
    status = answer.status
    if status < 300 or status == HTTPStatus.NOT_MODIFIED:
        return None
    said = _said(answer)
    where = shown_url(answer.url)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = retry_after(answer.headers, now)
        resets = left(answer.headers, now).resets_at
        if wait is None and resets is not None and resets > now:
            wait = resets - now
        return RateLimitedError(f"{where} asks us to slow down (429){said}", retry_after=wait)
    if status in _TRANSIENT or answer.headers.get("stripe-should-retry") == "true":
        wait = retry_after(answer.headers, now)
        return TransientError(f"{where} failed for now ({status}){said}", retry_after=wait)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        remedy = "" if said else "; check the connection's credentials and what they may read"
        return AuthError(f"{where} refused our credentials ({status}){said}{remedy}")
    if status < 400:
        to = shown_url(answer.headers.get("location", ""))
        return ConfigError(
            f"{where} redirects to {to} ({status}), and redirects are not followed; "
            "put the final address into base_url"
        )
    if status >= 500:
        return TransientError(f"{where} failed ({status}){said}")
    return ConfigError(f"{where} refused the request ({status}){said}")


def _said(answer: Answer) -> str:
    """The provider's own message, after a colon; empty if there is none."""
    try:
        body = msgspec.json.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    spoken = list(dict.fromkeys(_messages(body, 0)))
    text = " ".join("; ".join(spoken).split())
    return f": {text[:LONGEST_MESSAGE]}" if text else ""


def _messages(body: Any, depth: int) -> Iterator[str]:
    if depth > 4:
        return
    if isinstance(body, list):
        for one in body[:3]:
            yield from _messages(one, depth + 1)
    if not isinstance(body, Mapping):
        return
    for name in _SPOKEN:
        if isinstance(body.get(name), str) and body[name]:
            yield body[name]
    for name in _AROUND:
        inner = body.get(name)
        if isinstance(inner, str) and inner and depth == 0:
            yield inner
        else:
            yield from _messages(inner, depth + 1)
