"""Time as a guest: whoever needs to know what time it is is handed a clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Tells the present instant, aware and in UTC."""


def system_clock() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)
