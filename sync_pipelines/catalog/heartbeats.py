"""Signs of life: when each part of the installation last did its turn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, select
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import HeartbeatRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A part's last sign of life; ``detail`` is its own to remember things by."""

    name: str
    at: datetime
    every_seconds: int
    detail: Mapping[str, Any] = field(default_factory=dict)


def beat(
    db: Db,
    name: str,
    *,
    every_seconds: int,
    now: datetime,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Give a sign of life; the next is due in ``every_seconds``."""
    values = {"at": now, "every_seconds": every_seconds, "detail": dict(detail or {})}
    statement = insert(HeartbeatRow).values(name=name, **values)
    db.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def read(db: Db, name: str) -> Heartbeat | None:
    """A part's last sign of life; None if it never gave one."""
    query = select(HeartbeatRow.__table__).where(HeartbeatRow.name == name)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _heartbeat(row)


def read_all(db: Db) -> Mapping[str, Heartbeat]:
    """Every part's last sign of life, by its name."""
    rows = db.execute(select(HeartbeatRow.__table__)).mappings()
    return {row["name"]: _heartbeat(row) for row in rows}


def _heartbeat(row: RowMapping) -> Heartbeat:
    return Heartbeat(
        name=row["name"], at=row["at"], every_seconds=row["every_seconds"], detail=row["detail"]
    )
