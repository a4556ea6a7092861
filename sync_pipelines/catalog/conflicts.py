"""What schedules do to each other, as it was found: open until it is found no more.

Law: a conflict is known again by its fingerprint, and is open at most once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.schedules import schedule_from_row
from sync_pipelines.catalog.tables import ConflictRow, ScheduleRow, SyncRow
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.timing.clashes import Kind, Severity

FEW = 5
"""So many schedules of a conflict are named in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """One clash among a tenant's schedules, which are named ``tenant/sync/schedule``."""

    fingerprint: str
    kind: Kind
    severity: Severity
    schedules: tuple[str, ...]
    message: str
    remedy: str

    @property
    def sentence(self) -> str:
        """Which schedules, what about them, and what would end it."""
        named = ", ".join(self.schedules[:FEW])
        more = len(self.schedules) - FEW
        others = f" and {more} more" if more > 0 else ""
        about = f"{named}{others}: " if named else ""
        return f"{about}{self.message}; {self.remedy}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A conflict and when it was found first and last; open while not ``resolved_at``."""

    conflict: Conflict
    found_at: datetime
    last_found_at: datetime
    resolved_at: datetime | None


def hold(db: Db, tenant_id: UUID) -> None:
    """Let nobody else examine or change a tenant's conflicts until the transaction ends."""
    key = func.hashtextextended(f"conflicts {tenant_id}", 0)
    db.execute(select(func.pg_advisory_xact_lock(key)))


def switched_on(db: Db, *, tenant_id: UUID) -> list[Schedule]:
    """A tenant's schedules that are switched on, of syncs that are not paused."""
    query = (
        select(ScheduleRow.__table__)
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .where(ScheduleRow.tenant_id == tenant_id, ScheduleRow.is_active, SyncRow.is_active)
        .order_by(SyncRow.name, ScheduleRow.name)
    )
    return [schedule_from_row(row) for row in db.execute(query).mappings()]


def record(db: Db, found: Sequence[Conflict], *, tenant_id: UUID, now: datetime) -> None:
    """Keep everything that was found now; what was open and is not among it is resolved."""
    for one in found:
        told = {
            "kind": one.kind,
            "severity": one.severity,
            "schedules": list(one.schedules),
            "message": one.message,
            "remedy": one.remedy,
            "last_found_at": now,
        }
        statement = insert(ConflictRow).values(
            tenant_id=tenant_id, fingerprint=one.fingerprint, found_at=now, **told
        )
        db.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "fingerprint"],
                index_where=text("resolved_at IS NULL"),
                set_=told,
            )
        )
    gone = (
        ConflictRow.tenant_id == tenant_id,
        ConflictRow.resolved_at.is_(None),
        ConflictRow.fingerprint.not_in([one.fingerprint for one in found]),
    )
    db.execute(update(ConflictRow).where(*gone).values(resolved_at=now))


def of_tenant(db: Db, *, tenant_id: UUID, with_resolved: bool = False) -> list[Recorded]:
    """A tenant's open conflicts, certain ones first; then, if asked for, resolved ones."""
    query = (
        select(ConflictRow.__table__)
        .where(ConflictRow.tenant_id == tenant_id)
        .order_by(
            ConflictRow.resolved_at.desc().nulls_first(),
            ConflictRow.severity,
            ConflictRow.found_at,
            ConflictRow.fingerprint,
        )
    )
    if not with_resolved:
        query = query.where(ConflictRow.resolved_at.is_(None))
    return [_recorded(row) for row in db.execute(query).mappings()]


def _recorded(row: RowMapping) -> Recorded:
    return Recorded(
        conflict=Conflict(
            fingerprint=row["fingerprint"],
            kind=Kind(row["kind"]),
            severity=Severity(row["severity"]),
            schedules=tuple(row["schedules"]),
            message=row["message"],
            remedy=row["remedy"],
        ),
        found_at=row["found_at"],
        last_found_at=row["last_found_at"],
        resolved_at=row["resolved_at"],
    )
