"""Time and chance, as guests: what a client waits with, and what it draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import SystemRandom


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """``now`` is aware UTC, ``chance`` is in [0, 1).

    ``sleep`` None waits in real time, and ends at once when the client is interrupted.
    """

    now: Callable[[], datetime] = _now
    chance: Callable[[], float] = field(default_factory=lambda: SystemRandom().random)
    sleep: Callable[[float], None] | None = None
