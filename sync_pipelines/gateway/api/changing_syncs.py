"""Changing syncs, for every shape of the API alike."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeAlias

from sqlalchemy import Connection as Db

from sync_pipelines.apply.body import Body, body_of, parsed_sync
from sync_pipelines.apply.current import Current, CurrentSync
from sync_pipelines.apply.describe import described_sync
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.spelled import merged, spelled_sync
from sync_pipelines.catalog import audit, happenings, removing
from sync_pipelines.catalog.happenings import WhichExecutions
from sync_pipelines.gateway.api.changing import (
    already,
    check_same,
    held_sync,
    nothing,
    plan_and_act,
)
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import Caller
from sync_pipelines.gateway.problems import ProblemError
from sync_pipelines.model.cadence import After

Check: TypeAlias = Callable[[Db, CurrentSync], None]
"""Looks at a sync that is held, and ends the request if it may not be changed."""


def create_sync(caller: Caller, doors: Doors, *, name: str, written: Mapping[str, Any]) -> None:
    """Make a sync; 409 if there is one of that name."""
    body = body_of(written)

    def want(_: Db, current: Current) -> tuple[Body, Parsed]:
        if current.sync(name) is not None:
            raise already("sync", name)
        return body, parsed_sync(body, caller.tenant.name, name)

    plan_and_act(caller, doors, want)


def change_sync(
    caller: Caller,
    doors: Doors,
    name: str,
    written: Mapping[str, Any],
    *,
    is_patch: bool,
    check: Check = lambda *_: None,
) -> None:
    """Replace a sync, or a part of it. Its name and schedules stay."""

    def want(db: Db, current: Current) -> tuple[Body, Parsed]:
        held = held_sync(current, name)
        check(db, held)
        check_same("name", written.get("name"), name)
        asked = {key: value for key, value in written.items() if key != "name"}
        if is_patch:
            asked = merged(_steady(held, asked), asked)
        body = body_of(asked)
        return body, parsed_sync(body, caller.tenant.name, name)

    plan_and_act(caller, doors, want)


def _steady(held: CurrentSync, patch: Mapping[str, Any]) -> Mapping[str, Any]:
    """What there is; why it is paused goes where it is paused no more."""
    spelled = dict(spelled_sync(held))
    if patch.get("is_active"):
        spelled["pause_reason"] = None
    return spelled


def remove_sync(caller: Caller, doors: Doors, name: str, *, check: Check) -> None:
    """Remove a sync with its schedules and history; 409 while it runs or others wait for it."""

    def want(db: Db, current: Current) -> tuple[Body, Parsed]:
        held = held_sync(current, name)
        check(db, held)
        tenant_id = caller.tenant.id
        if removing.is_busy(db, held.sync.id, tenant_id=tenant_id):
            detail = f"an execution of {name!r} has not ended; cancel it, or wait"
            raise ProblemError(HTTPStatus.CONFLICT, detail)
        waiting = [one.sync.name for one in current.syncs if _waits_for(one, held)]
        if waiting:
            detail = f"{', '.join(waiting)} wait for {name!r}; give them another cadence first"
            raise ProblemError(HTTPStatus.CONFLICT, detail)
        removing.delete_sync(db, held.sync.id, tenant_id=tenant_id)
        audit.record(
            db,
            at=doors.clock(),
            actor=caller.actor,
            action="sync.deleted",
            subject=held.sync.key,
            tenant_id=tenant_id,
            before=described_sync(held.sync, held.description),
        )
        return body_of({}), nothing(caller.tenant.name)

    plan_and_act(caller, doors, want)


def remove_if_unused(caller: Caller, doors: Doors, name: str) -> None:
    """Remove a sync that has no schedule and has never run; leave any other alone."""

    def check(db: Db, held: CurrentSync) -> None:
        past = happenings.list_executions(
            db, WhichExecutions(sync=name), tenant_id=caller.tenant.id, limit=1
        )
        if held.schedules or past.items:
            raise _InUseError

    with suppress(_InUseError, ProblemError):
        remove_sync(caller, doors, name, check=check)


class _InUseError(Exception):
    """A sync is not to be removed along with a schedule."""


def _waits_for(one: CurrentSync, held: CurrentSync) -> bool:
    return one is not held and any(
        isinstance(schedule.cadence, After)
        and schedule.cadence.key(held.sync.tenant) == held.sync.key
        for schedule in one.schedules
    )
