"""Turns due schedules into claimed executions, and executions into launches.

Law: a due instant is claimed by inserting its key ``(schedule_id, due_at)``. A
duplicate key means another dispatcher was first, and that is not an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import select, update

from sync_pipelines.catalog import executions
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import schedule_from_row
from sync_pipelines.catalog.tables import ScheduleRow, SyncRow
from sync_pipelines.model.execution import PRIORITY, Execution, Request, Status, Trigger
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Sync
from sync_pipelines.timing.instants import instants, next_instant

BATCH = 500
"""Schedules or executions that one pass of a dispatcher takes."""

MANY = 100_000
"""Missed instants beyond this are counted as this many: the count is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One attempt that should get one Dagster run."""

    execution_id: UUID
    attempt: int
    tenant: str
    sync_key: str
    connector: str
    connection: str
    trigger: Trigger
    schedule_id: UUID | None

    queued_at: datetime

    @property
    def key(self) -> str:
        """The hand-over's own name: two requests with one key are one run."""
        return f"{self.execution_id}:{self.attempt}:{self.queued_at.timestamp():.0f}"

    @property
    def priority(self) -> int:
        """Dagster's queue priority, higher first."""
        return PRIORITY[self.trigger]


def claim_due(catalog: Catalog, connector: str, now: datetime, *, tick: str) -> list[Launch]:
    """Claim what is due on a connector's schedules, and queue it.

    ``tick`` names the dispatcher's turn: asked again with the same name, after a
    crash, it returns the same launches and claims nothing twice.
    """
    with catalog.begin() as db:
        for schedule in _due(db, connector, now):
            _decide(db, schedule, now, tick)
        return list(_claimed_in(db, connector, tick, now))


def _due(db: Db, connector: str, now: datetime) -> Iterator[Schedule]:
    query = (
        select(ScheduleRow.__table__)
        .join(SyncRow, SyncRow.id == ScheduleRow.sync_id)
        .where(
            SyncRow.connector == connector,
            SyncRow.is_active,
            ScheduleRow.is_active,
            ScheduleRow.next_run_at <= now,
        )
        .order_by(ScheduleRow.next_run_at)
        .limit(BATCH)
        .with_for_update(of=ScheduleRow, skip_locked=True)
    )
    return (schedule_from_row(row) for row in db.execute(query).mappings().all())


def _decide(db: Db, schedule: Schedule, now: datetime, tick: str) -> None:
    """One execution for the latest due instant; those missed before it are recorded on it."""
    assert schedule.next_run_at is not None
    due = [schedule.next_run_at]
    due += islice(
        instants(
            schedule.cadence,
            schedule.timezone,
            schedule.clock_change,
            after=schedule.next_run_at,
            until=now,
            anchor=schedule.anchor,
        ),
        MANY,
    )
    metadata: dict[str, object] = {"tick": tick}
    if len(due) > 1:
        metadata["missed"] = {
            "instants": len(due) - 1,
            "first": due[0].isoformat(),
            "last": due[-2].isoformat(),
        }
    overlaps = executions.has_active(db, schedule.sync_id, tenant_id=schedule.tenant_id)
    if overlaps:
        metadata["reason"] = "overlap: the execution before it had not ended"
    executions.create(
        db,
        tenant_id=schedule.tenant_id,
        sync_id=schedule.sync_id,
        schedule_id=schedule.id,
        due_at=due[-1],
        trigger=Trigger.CATCHUP if len(due) > 1 else Trigger.SCHEDULED,
        status=Status.SKIPPED if overlaps else Status.PENDING,
        now=now,
        metadata=metadata,
    )
    following = next_instant(
        schedule.cadence,
        schedule.timezone,
        schedule.clock_change,
        after=max(now, due[-1]),
        anchor=schedule.anchor,
    )
    db.execute(
        update(ScheduleRow)
        .where(ScheduleRow.id == schedule.id)
        .values(next_run_at=following, last_run_at=due[-1])
    )


def _claimed_in(db: Db, connector: str, tick: str, now: datetime) -> Iterator[Launch]:
    """What this tick claimed and no run has started yet, queued if it was not."""
    for execution in executions.claimed_in_tick_for_all_tenants(db, tick, connector):
        yield _launch(_queued(db, execution, now))


def ready(catalog: Catalog, now: datetime) -> list[Launch]:
    """Queue the executions that wait for nothing but a run: manual ones and due retries.

    At most one of a sync: the next follows when it has ended.
    """
    with catalog.begin() as db:
        chosen: dict[UUID, Execution] = {}
        for execution in executions.launchable_for_all_tenants(db, now, limit=BATCH):
            chosen.setdefault(execution.sync_id, execution)
        return [_launch(_queued(db, execution, now)) for execution in chosen.values()]


def _queued(db: Db, execution: Execution, now: datetime) -> Execution:
    """The execution in Dagster's queue; one that was there already stays as it is."""
    if execution.status is Status.QUEUED:
        return execution
    queued = execution.queued(now)
    executions.save(db, execution, queued)
    return queued


def trigger(
    catalog: Catalog,
    sync: Sync,
    *,
    now: datetime,
    reason: Trigger = Trigger.MANUAL,
    request: Request | None = None,
    queued: bool = False,
) -> UUID:
    """Ask for an execution now. A paused sync runs too when a person asks (trap T10).

    ``queued`` is for a caller who runs it at once: no dispatcher will.
    """
    with catalog.begin() as db:
        made = executions.create(
            db,
            tenant_id=sync.tenant_id,
            sync_id=sync.id,
            trigger=reason,
            status=Status.QUEUED if queued else Status.PENDING,
            now=now,
            request=request,
        )
    assert made is not None, "only a due instant can have been claimed before"
    return made


def _launch(execution: Execution) -> Launch:
    assert execution.queued_at is not None
    return Launch(
        queued_at=execution.queued_at,
        execution_id=execution.id,
        attempt=execution.attempt,
        tenant=execution.sync_key.partition("/")[0],
        sync_key=execution.sync_key,
        connector=execution.connector,
        connection=execution.connection,
        schedule_id=execution.schedule_id,
        trigger=execution.trigger,
    )


LOST_AFTER = timedelta(minutes=2)
"""How long a queued execution may have no Dagster run before it is handed over again."""


def forgotten(catalog: Catalog, now: datetime) -> list[Launch]:
    """Executions queued a while ago that have not started: the caller asks Dagster about them."""
    with catalog.begin() as db:
        waiting = executions.queued_for_all_tenants(db, before=now - LOST_AFTER)
    return [_launch(execution) for execution in waiting]
