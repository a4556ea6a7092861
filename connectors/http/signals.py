"""What headers say about limits: how long to wait, how much is left. Pure.

``Retry-After`` is RFC 9110, 10.2.3. ``RateLimit`` and ``RateLimit-Policy`` are
draft-ietf-httpapi-ratelimit-headers from -07 on, ``RateLimit-Remaining`` and ``-Reset``
up to -06; the ``X-`` forms are older and everybody's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

EPOCH_FROM = 1e9
"""A reset above this is an instant in epoch seconds; below, seconds from now."""
EPOCH_MS_FROM = 1e12

_PREFIXES = ("ratelimit", "x-ratelimit", "x-rate-limit")
_PARAMETER = re.compile(r";\s*([rt])\s*=\s*(\d+)")
_LATEST = timedelta(days=1)
"""No wait is believed to be longer: a header may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """How many calls are left, and when there will be more; None is unknown."""

    remaining: int | None = None
    resets_at: datetime | None = None


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wait that an answer asks for, never negative; None if it asks for none."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    seconds = _number(text)
    if seconds is not None:
        return _bounded(timedelta(seconds=min(seconds, _LATEST.total_seconds())))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    # Their clock may differ from ours: their own Date says what they take for now.
    return _bounded(until - (date_of(headers) or now))


def left(headers: Mapping[str, str], now: datetime) -> Left:
    """What an answer's headers say is left."""
    found = dict(_PARAMETER.findall(headers.get("ratelimit", "")))
    if "r" in found:
        resets = _after(float(found["t"]), now) if "t" in found else None
        return Left(remaining=int(found["r"]), resets_at=resets)
    for prefix in _PREFIXES:
        remaining = _number(headers.get(f"{prefix}-remaining", ""))
        if remaining is not None:
            reset = _number(headers.get(f"{prefix}-reset", ""))
            return Left(
                remaining=int(remaining), resets_at=None if reset is None else _instant(reset, now)
            )
    used, _, most = headers.get("x-shopify-shop-api-call-limit", "").partition("/")
    if used.isdigit() and most.isdigit():
        return Left(remaining=max(0, int(most) - int(used)), resets_at=_after(1.0, now))
    return Left()


def _instant(reset: float, now: datetime) -> datetime:
    if reset < EPOCH_FROM:
        return _after(reset, now)
    seconds = reset / 1000 if reset >= EPOCH_MS_FROM else reset
    try:
        return min(datetime.fromtimestamp(seconds, UTC), now + _LATEST)
    except (OverflowError, ValueError, OSError):
        return now + _LATEST


def _after(seconds: float, now: datetime) -> datetime:
    return now + timedelta(seconds=min(seconds, _LATEST.total_seconds()))


def _bounded(wait: timedelta) -> timedelta:
    return min(max(wait, timedelta(0)), _LATEST)


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """What the other side's clock shows, in whole seconds."""
    try:
        said = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def _number(text: str) -> float | None:
    """A finite number, none below zero; lists such as ``100, 100;w=60`` give their first."""
    found = re.match(r"\s*(\d+(?:\.\d+)?)(?=\s*(?:[,;]|$))", text)
    return float(found[1]) if found else None
