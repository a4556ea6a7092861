"""Turns due schedules into claimed executions, and executions into launches.

Law: a due instant is claimed by inserting its key ``(schedule_id, due_at)``. A
duplicate key means another dispatcher was first, and that is not an error.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection as Db

from connectors.errors import ConfigError, TransientError
from sync_pipelines.catalog import claims, executions, rounds
from sync_pipelines.catalog.due import (
    due_ids_for_all_tenants,
    executions_since_for_all_tenants,
    lock_due_for_all_tenants,
)
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.engine.admission import admit
from sync_pipelines.engine.deciding import HOUR, decide_before_change, decide_up_to
from sync_pipelines.model.execution import Execution, Request, Status, Trigger
from sync_pipelines.model.sync import Sync

BATCH = 500
"""Schedules that are decided on in one transaction."""

TURN = "events"
"""What a turn is called that belongs to no connector."""

AT_ONCE_TURN = "at once"
"""What the turn of somebody is called who asks Dagster himself, for a single execution."""


class LimitReachedError(TransientError):
    """The tenant has used up what it may have for now; waiting helps."""


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
    place: int
    traceparent: str | None = None

    @property
    def key(self) -> str:
        """The hand-over's own name: two requests with one key are one run."""
        return f"{self.execution_id}:{self.attempt}:{self.queued_at.timestamp():.0f}"

    @property
    def priority(self) -> int:
        """Dagster's queue priority, higher first: the first of every tenant's line leads."""
        return -self.place


def claim_due(catalog: Catalog, connector: str, now: datetime, *, tick: str) -> list[Launch]:
    """Decide on what is due on a connector's schedules; the launches that this turn makes.

    ``tick`` names the dispatcher's turn: asked again with the same name, after a
    crash, it returns the same launches and claims nothing twice.
    """
    while _decide_some(catalog, connector, now):
        pass
    _decide_rest(catalog, connector, now)
    with catalog.begin() as db:
        admit(db, now, turn=tick, connector=connector)
        waiting = claims.handed_over_in_turn_for_all_tenants(db, tick)
    return [_launch(execution) for execution in waiting]


def _decide_some(catalog: Catalog, connector: str, now: datetime) -> bool:
    """Decide on a batch of due schedules; whether there may be more."""
    with catalog.begin() as db:
        armed = lock_due_for_all_tenants(db, connector, now, limit=BATCH)
        decide_up_to(db, armed, now)
    return len(armed) == BATCH


def _decide_rest(catalog: Catalog, connector: str, now: datetime) -> None:
    """Wait for those that somebody else holds: what they leave due is due now, not next turn."""
    with catalog.begin() as db:
        ids = due_ids_for_all_tenants(db, connector, now)
        if ids:
            decide_before_change(db, ids, now)


def ready(catalog: Catalog, now: datetime) -> list[Launch]:
    """Queue what waits for nothing but a run: manual executions, due retries, events'.

    At most one of a sync: the next follows when it has ended.
    """
    with catalog.begin() as db:
        waiting = claims.of_ids_for_all_tenants(db, admit(db, now, turn=TURN))
    return [_launch(execution) for execution in waiting]


def claim_now(catalog: Catalog, execution_id: UUID, now: datetime) -> Launch | None:
    """Queue one execution, for a caller who asks Dagster for its run at once.

    None when its turn has not come, by any limit or because its sync is busy, or when a
    dispatcher has been faster: then that one's next turn, or this one, hands it over.
    A caller that dies now leaves it to `forgotten`.
    """
    with catalog.begin() as db:
        admitted = admit(db, now, turn=AT_ONCE_TURN, only=execution_id)
        claimed = claims.of_ids_for_all_tenants(db, admitted)
    return _launch(claimed[0]) if claimed else None


def put_back(catalog: Catalog, launch: Launch, now: datetime) -> None:
    """Undo a `claim_now` of which Dagster certainly knows nothing: a dispatcher takes it on.

    Nothing happens if this hand-over is over, because the attempt was started or ended; nor
    after `LOST_AFTER`, when it is `dispatch_events` that sees to it, and may have a run by now.
    """
    if now - launch.queued_at >= LOST_AFTER:
        return
    with catalog.begin() as db:
        execution = executions.lock_for_all_tenants(db, launch.execution_id)
        if execution is None or execution.status is not Status.QUEUED:
            return
        if (execution.attempt, execution.queued_at) == (launch.attempt, launch.queued_at):
            executions.save(db, execution, execution.postponed(now))


def trigger(
    catalog: Catalog,
    sync: Sync,
    *,
    now: datetime,
    reason: Trigger = Trigger.MANUAL,
    request: Request | None = None,
    queued: bool = False,
    schedule_id: UUID | None = None,
) -> UUID:
    """Ask for an execution now. A paused sync runs too when a person asks (trap T10).

    ``queued`` is for a caller who runs it at once: no dispatcher will. ``schedule_id`` is
    the schedule that the person named, in whose history it will stand.
    `LimitReachedError` when the tenant has had its executions of this hour, `ConfigError`
    while it is suspended.
    """
    with catalog.begin() as db:
        _check_may_start(db, sync, now)
        return executions.create(
            db,
            tenant_id=sync.tenant_id,
            sync_id=sync.id,
            trigger=reason,
            status=Status.QUEUED if queued else Status.PENDING,
            now=now,
            request=request,
            schedule_id=schedule_id,
        )


def _check_may_start(db: Db, sync: Sync, now: datetime) -> None:
    tenant = find_tenant(db, sync.tenant)
    if not tenant.is_active:
        raise ConfigError(
            f"tenant {sync.tenant!r} is suspended, and nothing of it starts; "
            f"`sync-pipelines tenants resume {sync.tenant}` ends that"
        )
    most = tenant.limits.executions_per_hour
    if most is None:
        return
    used = executions_since_for_all_tenants(db, [sync.tenant_id], now - HOUR)
    if used.get(sync.tenant_id, 0) >= most:
        raise LimitReachedError(
            f"tenant {sync.tenant!r} may have {most} executions an hour, and has had them; "
            "try again later, or ask for a higher limit"
        )


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
        place=execution.place,
        traceparent=execution.traceparent,
    )


LOST_AFTER = timedelta(minutes=2)
"""How long a queued execution may have no Dagster run before it is handed over again."""


def forgotten(catalog: Catalog, now: datetime) -> list[Launch]:
    """Executions queued a while ago that have not started: the caller asks Dagster about them.

    Without those that a connector's turns handed over: see `left_behind`.
    """
    return _lost(catalog, before=now - LOST_AFTER, connector=None)


def left_behind(catalog: Catalog, connector: str, now: datetime) -> list[Launch]:
    """What earlier turns of a connector handed over and has not started.

    The caller asks Dagster about them. A connector's turns follow one another: for what
    has no run now, the process that was to ask for one has died. Only the next turn may
    say so, for while a turn goes on, it may still be asking.
    """
    return _lost(catalog, before=now, connector=connector)


def _lost(catalog: Catalog, *, before: datetime, connector: str | None) -> list[Launch]:
    with catalog.begin() as db:
        waiting = rounds.lost_hand_overs_for_all_tenants(db, before=before, connector=connector)
    return [_launch(execution) for execution in waiting]
