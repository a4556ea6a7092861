"""Executions on their way out: those that have ended, and whether that was followed up."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy import Connection as Db
from sqlalchemy.orm import aliased

from sync_pipelines.catalog.executions import from_row, selected
from sync_pipelines.catalog.tables import (
    AffectedRow,
    BreakerRow,
    DeadLetterRow,
    EventRow,
    ExecutionRow,
    RuleRow,
    ScheduleRow,
    StateRow,
    SyncRow,
    TenantRow,
)
from sync_pipelines.model.cadence import ScheduleType
from sync_pipelines.model.dead_letter import LetterStatus
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.notification import Topic

_UNFOLLOWED = (ExecutionRow.completed_at.is_not(None), ExecutionRow.followed_up_at.is_(None))


def _untold(ended: type[ExecutionRow]) -> Sequence[ColumnElement[bool]]:
    return (
        ended.completed_at.is_not(None),
        ended.followed_up_at.is_(None),
        ended.told_at.is_(None),
        ended.status != Status.CANCELLED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """How an execution failed: the last error, the streams' own, and every attempt's.

    ``schedule`` is the name of the one that asked for it, if there is such still.
    """

    message: str | None
    details: Mapping[str, Any]
    attempts: Sequence[Mapping[str, Any]]
    schedule: str | None


def find_ended_for_all_tenants(db: Db, execution_id: UUID) -> Execution | None:
    """An execution that has ended and was not followed up; None if it is no such.

    For all tenants, because an execution's id comes from the catalog itself.
    """
    query = selected().where(ExecutionRow.id == execution_id, *_UNFOLLOWED)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else from_row(row)


def not_followed_up_for_all_tenants(db: Db, *, before: datetime, limit: int = 500) -> list[UUID]:
    """Executions that ended before an instant and were not followed up, oldest first.

    For all tenants, because whoever looks after the dead looks after all of them.
    """
    query = (
        select(ExecutionRow.id)
        .where(ExecutionRow.completed_at < before, *_UNFOLLOWED)
        .order_by(ExecutionRow.completed_at)
        .limit(limit)
    )
    return list(db.scalars(query))


def mark_followed_up(db: Db, execution: Execution, *, now: datetime) -> bool:
    """Note that an execution was followed up; False when somebody else has done it."""
    statement = (
        update(ExecutionRow)
        .where(ExecutionRow.id == execution.id, *_UNFOLLOWED)
        .values(followed_up_at=now)
    )
    return db.execute(statement).rowcount == 1


def mark_uneventful_for_all_tenants(db: Db, execution_id: UUID, *, now: datetime) -> bool:
    """Note that a success was followed up, if there is nothing that it could bring about.

    False, and nothing is held by it, where there may be: a schedule that fires after its
    sync or learns from it, a breaker that remembers failures, an open letter, an event that
    waits for its answer, or an end before it that was not followed up; and where the outcome
    was not told.
    """
    statement = _marking_uneventful(unnoticed=False)
    return db.execute(statement, {"ended": execution_id, "now": now}).rowcount == 1


def mark_unnoticed(db: Db, settled: Execution, *, now: datetime) -> bool:
    """The same of a success that is settled in this transaction, if it concerns nobody either.

    See `concerns_somebody`. Where it is False, nothing was noted.
    """
    statement = _marking_uneventful(unnoticed=True)
    return db.execute(statement, {"ended": settled.id, "now": now}).rowcount == 1


@cache
def _marking_uneventful(*, unnoticed: bool) -> Update:
    # One statement, so that all is seen at one instant. One condition, so that the planner
    # asks each question by its index for the one row, instead of joining whole tables.
    is_of_interest = or_(_is_eventful(), _is_of_concern()) if unnoticed else _is_eventful()
    return (
        update(ExecutionRow)
        .where(
            ExecutionRow.id == bindparam("ended"),
            ExecutionRow.status == Status.COMPLETED,
            ExecutionRow.told_at.is_not(None),
            *_UNFOLLOWED,
            not_(is_of_interest),
        )
        .values(followed_up_at=bindparam("now"))
    )


def _is_eventful() -> ColumnElement[bool]:
    """Whether the row of an execution that has ended may bring something about."""
    ended, earlier = ExecutionRow, aliased(ExecutionRow)
    waits_for = ScheduleRow.config["cadence"]["sync"].astext
    # Spelled out: the index of open letters serves no parameter.
    is_open: ColumnElement[str] = literal_column(f"'{LetterStatus.OPEN}'")
    names = (SyncRow.name, func.concat(TenantRow.name, "/", SyncRow.name))
    return or_(
        exists().where(
            earlier.sync_id == ended.sync_id,
            earlier.id != ended.id,
            earlier.completed_at <= ended.completed_at,
            earlier.followed_up_at.is_(None),
        ),
        exists().where(BreakerRow.sync_id == ended.sync_id),
        exists().where(DeadLetterRow.sync_id == ended.sync_id, DeadLetterRow.status == is_open),
        exists().where(EventRow.execution_id == ended.id),
        exists().where(
            ScheduleRow.sync_id == ended.sync_id, ScheduleRow.schedule_type == ScheduleType.ADAPTIVE
        ),
        exists().where(
            ScheduleRow.tenant_id == ended.tenant_id,
            ScheduleRow.schedule_type == ScheduleType.AFTER,
            SyncRow.id == ended.sync_id,
            TenantRow.id == ended.tenant_id,
            waits_for.in_(names),
        ),
    )


# --- telling of it ---------------------------------------------------------------


def concerns_somebody(db: Db, success: Execution) -> bool:
    """Whether a success may end an incident, or somebody may want to know of it.

    An incident that is still to be opened, by an end of its sync that is not told, is one.
    """
    return bool(db.scalar(_of_concern(), {"ended": success.id}))


@cache
def _of_concern() -> Select[bool]:
    return select(_is_of_concern()).where(ExecutionRow.id == bindparam("ended"))


def _is_of_concern() -> ColumnElement[bool]:
    """The same of the row of a success."""
    ended, other = ExecutionRow, aliased(ExecutionRow)
    wants_to_know = or_(
        RuleRow.events.contains([Topic.SUCCESS]),
        and_(ended.records_rejected > 0, RuleRow.events.contains([Topic.WARNING])),
        and_(
            ended.execution_metadata.bool_op("?")("schema_changes"),
            RuleRow.events.contains([Topic.SCHEMA_CHANGE]),
        ),
    )
    return or_(
        exists().where(other.sync_id == ended.sync_id, *_untold(other)),
        exists().where(AffectedRow.sync_id == ended.sync_id),
        exists().where(RuleRow.tenant_id == ended.tenant_id, RuleRow.is_active, wants_to_know),
    )


_TAKE_TURN = text("SELECT pg_advisory_xact_lock(hashtextextended('ends of ' || :sync, 0))")


def take_turn(db: Db, settled: Execution) -> None:
    """Let no other end of the sync be told as it is settled until the transaction ends."""
    db.execute(_TAKE_TURN, {"sync": str(settled.sync_id)})


def untold_of_sync(db: Db, ended: Execution) -> Set[UUID]:
    """The ends of a sync, as of one of them, that are to be told by their follow-up."""
    mine = (ExecutionRow.tenant_id == ended.tenant_id, ExecutionRow.sync_id == ended.sync_id)
    return set(db.scalars(select(ExecutionRow.id).where(*mine, *_untold(ExecutionRow))))


def mark_untold(db: Db, settled: Execution) -> None:
    """Let the follow-up tell of an execution whose settlement, in this transaction, did not."""
    mine = (ExecutionRow.id == settled.id, ExecutionRow.tenant_id == settled.tenant_id)
    db.execute(update(ExecutionRow).where(*mine).values(told_at=None))


# --- following it up -------------------------------------------------------------


def hold_sync(db: Db, sync_id: UUID, *, tenant_id: UUID) -> bool:
    """Keep others from following up a sync's ends meanwhile; whether it is active.

    To be held after its schedules, as dispatchers do.
    """
    query = (
        select(SyncRow.is_active)
        .where(SyncRow.id == sync_id, SyncRow.tenant_id == tenant_id)
        .with_for_update(key_share=True)
    )
    return bool(db.execute(query).scalar_one_or_none())


def not_followed_up_of_sync(db: Db, ended: Execution) -> list[Execution]:
    """A sync's executions that ended no later than one of them, in the order they ended in."""
    query = (
        selected()
        .where(
            ExecutionRow.tenant_id == ended.tenant_id,
            ExecutionRow.sync_id == ended.sync_id,
            ExecutionRow.completed_at <= ended.completed_at,
            *_UNFOLLOWED,
        )
        .order_by(ExecutionRow.completed_at, ExecutionRow.id)
    )
    return [from_row(row) for row in db.execute(query).mappings()]


def how_it_failed(db: Db, execution: Execution) -> Failed:
    """What an execution's row tells of its failures."""
    query = (
        select(
            ExecutionRow.error_message,
            ExecutionRow.error_details,
            ExecutionRow.attempts,
            ScheduleRow.name,
        )
        .outerjoin(ScheduleRow, ScheduleRow.id == ExecutionRow.schedule_id)
        .where(ExecutionRow.id == execution.id, ExecutionRow.tenant_id == execution.tenant_id)
    )
    message, details, attempts, schedule = db.execute(query).one()
    return Failed(
        message=message, details=details or {}, attempts=tuple(attempts), schedule=schedule
    )


def last_commit(db: Db, execution: Execution) -> datetime | None:
    """When an execution was last seen to make data durable; None when it was not."""
    query = select(func.max(StateRow.committed_at)).where(
        StateRow.tenant_id == execution.tenant_id,
        StateRow.sync_id == execution.sync_id,
        StateRow.execution_id == execution.id,
    )
    return db.execute(query).scalar_one()
