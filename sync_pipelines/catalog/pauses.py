"""Who paused what, and when, as the audit tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import select

from sync_pipelines.catalog.tables import AuditRow

LATEST = 200
"""So many of the latest changes are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PausedBy:
    """Who let a sync or a schedule, the ``subject``, start nothing any more, and since when."""

    subject: str
    actor: str
    at: datetime


def paused_by(
    db: Db, subjects: Sequence[str], *, tenant_id: UUID, before: datetime
) -> PausedBy | None:
    """Whoever last paused one of these that was still paused ``before``; None if none was.

    ``subjects`` are keys of syncs and schedules, as the audit writes them.
    """
    query = (
        select(AuditRow.__table__)
        .where(
            AuditRow.tenant_id == tenant_id,
            AuditRow.subject.in_(subjects),
            AuditRow.at <= before,
        )
        .order_by(AuditRow.id.desc())
        .limit(LATEST)
    )
    resumed: set[str] = set()
    for row in db.execute(query).mappings():
        was, became = _pause(row["before"]), _pause(row["after"])
        if was == became or row["subject"] in resumed:
            continue
        if became is not None:
            return PausedBy(subject=row["subject"], actor=row["actor"], at=row["at"])
        resumed.add(row["subject"])
    return None


def _pause(described: Mapping[str, Any] | None) -> object:
    """What pauses a sync or schedule as the audit describes it; None where nothing does."""
    if described is None:
        return None
    if not described.get("is_active", True):
        return described.get("pause_reason") or True
    policies: Mapping[str, Any] = described.get("policies") or {}
    return policies.get("pause")
