"""What QuickBooks says when something is wrong: a ``Fault``, at times with status 200.

::

    429, 3001                      RateLimitedError, a minute
    SystemFault                    TransientError
    120, 3100, 3200, 3202          AuthError
    6190, 6210                     ConfigError: the subscription, a closed period
    any fault of a query           ConfigError
    any other                      FaultError, a DataError: one record's business

Source: Intuit's "Handling common errors".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from connectors.errors import (
    AuthError,
    ConfigError,
    ConnectorError,
    DataError,
    RateLimitedError,
    TransientError,
)
from connectors.http.call import Answer

WINDOW = timedelta(seconds=60)
"""QuickBooks counts calls by the minute, and names no ``Retry-After``."""


class Code(StrEnum):
    """Faults that are acted upon."""

    NOT_FOUND = "610"
    STALE = "5010"
    DUPLICATE_NUMBER = "6140"
    DUPLICATE_NAME = "6240"


_AUTH = frozenset({"120", "3100", "3200", "3202"})
_COMPANY = frozenset({"6190", "6210"})
_THROTTLED = frozenset({"3001", "003001"})
_SAID = re.compile(r"\(code (\w+)\)$")


class FaultError(DataError):
    """QuickBooks refused one record, in its own words.

    The client makes errors anew from their text to hide secrets, so the text carries the
    code.
    """

    @property
    def code(self) -> str:
        """QuickBooks' number for it; empty if it named none."""
        found = _SAID.search(str(self))
        return found[1] if found else ""


def judge(answer: Answer) -> ConnectorError | None:
    """The error that an answer stands for; None leaves it to its status."""
    fault = _fault(answer)
    if fault is None:
        throttled = answer.status == 429 and "retry-after" not in answer.headers
        return _slow_down() if throttled else None
    errors = fault.get("Error") or fault.get("error") or [{}]
    first = errors[0] if isinstance(errors, list) and isinstance(errors[0], Mapping) else {}
    code = str(first.get("code", ""))
    said = _spoken(first, code)
    if answer.status == 429 or code in _THROTTLED:
        return None if "retry-after" in answer.headers else _slow_down()
    if answer.status == 401 or code in _AUTH:
        return AuthError(f"QuickBooks refused the connection: {said}")
    if answer.status >= 500 or str(fault.get("type", "")).lower() == "systemfault":
        return TransientError(f"QuickBooks failed for now: {said}")
    if code in _COMPANY or answer.url.endswith(("/query", "/cdc")):
        return ConfigError(f"QuickBooks refused the request: {said}")
    return FaultError(f"QuickBooks refused it: {said}")


def _slow_down() -> RateLimitedError:
    return RateLimitedError("QuickBooks asks us to slow down", retry_after=WINDOW)


def _fault(answer: Answer) -> Mapping[str, Any] | None:
    if b'"fault"' not in answer.content.lower():
        return None
    try:
        body = answer.json()
    except TransientError:
        return None
    if not isinstance(body, Mapping):
        return None
    fault = body.get("Fault") or body.get("fault")
    return fault if isinstance(fault, Mapping) else None


def _spoken(error: Mapping[str, Any], code: str) -> str:
    parts = [str(error.get(name) or "").strip() for name in ("Message", "Detail")]
    text = ": ".join(part for part in dict.fromkeys(parts) if part) or "no reason given"
    return f"{text[:300]} (code {code})"
