"""Which version of a record was sent, by its cursor; as text, for the ledger. Pure.

Law: what cannot be compared is not older. A cursor that was another column, or of another
type, tells nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

_READERS: Mapping[type, Callable[[str], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    int: int,
    float: float,
    Decimal: Decimal,
    str: str,
}


def version(cursor: str, value: object) -> str | None:
    """A cursor's value as the ledger keeps it; None for one that it could not read again."""
    if type(value) not in _READERS:
        return None
    told = value.isoformat() if isinstance(value, date) else str(value)
    return f"{cursor}={told}"


def is_older(cursor: str, value: Any, sent: str | None) -> bool:
    """Whether a version with this value comes before the one that was sent."""
    reader = _READERS.get(type(value))
    if reader is None or sent is None or not sent.startswith(f"{cursor}="):
        return False
    try:
        return bool(value < reader(sent.removeprefix(f"{cursor}=")))
    except (ValueError, InvalidOperation, TypeError):
        return False
