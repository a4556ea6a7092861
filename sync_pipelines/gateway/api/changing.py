"""Changing schedules, for every shape of the API alike; and how anything is changed.

Law: what is written is planned as a file would be, under the tenant's lock; whether it is
there, and whether it is what the sender saw, is looked at under the same lock.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import Connection as Db

from connectors.contract import SyncMode
from sync_pipelines.apply import act
from sync_pipelines.apply.body import (
    FILE,
    Body,
    BodyError,
    Wrong,
    body_of,
    parsed_schedule,
)
from sync_pipelines.apply.current import Current, CurrentSync
from sync_pipelines.apply.describe import described_schedule
from sync_pipelines.apply.manifest import Manifest
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.problems import ClashError, ManifestError, nearest
from sync_pipelines.apply.rule_store import Reach
from sync_pipelines.apply.spelled import merged, spelled_schedule
from sync_pipelines.catalog import audit, listing
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.listing import ScheduleListed
from sync_pipelines.engine import steering
from sync_pipelines.engine.conflicts import review_resumed
from sync_pipelines.gateway.api.cadences import OLDER, with_cadence
from sync_pipelines.gateway.api.shapes import schedule_etag, sync_name
from sync_pipelines.gateway.api.versions import check_match
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import Caller
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.model.policy import Pause
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import SyncStream

Mode: TypeAlias = Mapping[str, SyncMode]
"""How streams of a schedule's sync are to be read from now on, by their names."""

NO_MODE: Mode = {}


def nothing(tenant: str) -> Parsed:
    """A file that wants nothing, where the work was done while it was asked for."""
    return Parsed(manifest=Manifest(file=FILE, tenant=tenant), problems=())


def already(kind: str, name: str) -> ProblemError:
    """It would be made, and is there."""
    return ProblemError(HTTPStatus.CONFLICT, f"there is a {kind} {name!r} already")


def plan_and_act(
    caller: Caller, doors: Doors, want: Callable[[Db, Current], tuple[Body, Parsed]]
) -> None:
    """Carry out what a body wants; `BodyError` names the fields that stand against it."""
    bodies: list[Body] = []

    def wanted(db: Db, current: Current) -> Parsed:
        body, parsed = want(db, current)
        bodies.append(body)
        return parsed

    tenant, now = caller.tenant.name, doors.clock()
    try:
        act.change(
            caller.catalog,
            tenant,
            wanted,
            now=now,
            actor=caller.actor,
            reach=Reach(allow_private=doors.settings.may_reach_private, rng=doors.rng),
        )
    except ClashError as error:
        raise bodies[-1].error(error, is_clash=True) from error
    except ManifestError as error:
        raise bodies[-1].error(error) from error


# --- schedules ---------------------------------------------------------------------


def create_schedule(
    caller: Caller,
    doors: Doors,
    *,
    sync: str,
    name: str,
    written: Mapping[str, Any],
    mode: Mode = NO_MODE,
) -> ScheduleListed:
    """Make a schedule of a sync; 409 if the sync has one of that name."""
    body = body_of(with_cadence(written))

    def want(_: Db, current: Current) -> tuple[Body, Parsed]:
        of = held_sync(current, sync)
        if any(one.name == name for one in of.schedules):
            raise already("schedule", f"{sync}/{name}")
        streams = _in_mode(of, mode)
        return body, parsed_schedule(body, caller.tenant.name, of, name, streams=streams)

    plan_and_act(caller, doors, want)
    with caller.catalog.begin() as db:
        made = listing.find_schedule_named(db, sync, name, tenant_id=caller.tenant.id)
    assert made is not None, "it was made just now"
    return made


def change_schedule(
    caller: Caller,
    doors: Doors,
    schedule_id: UUID,
    written: Mapping[str, Any],
    *,
    is_patch: bool,
    if_match: str | None = None,
    mode: Mode = NO_MODE,
    sync_description: str | None = None,
) -> ScheduleListed:
    """Replace a schedule, or a part of it. Its name and its sync stay.

    ``mode`` and ``sync_description`` change its sync along with it.
    """

    def want(db: Db, current: Current) -> tuple[Body, Parsed]:
        listed = found_schedule(db, schedule_id, caller)
        check_match(if_match, schedule_etag(listed))
        sync, name = sync_name(listed.scheduled.sync.key), listed.scheduled.schedule.name
        for field, held in (("sync", sync), ("name", name)):
            check_same(field, written.get(field), held)
        asked = {key: value for key, value in written.items() if key not in ("sync", "name")}
        if is_patch:
            asked = _patched(listed.scheduled.schedule, asked)
        body = body_of(with_cadence(asked))
        of = held_sync(current, sync)
        streams = _in_mode(of, mode)
        of = replace(of, description=sync_description or of.description)
        return body, parsed_schedule(body, caller.tenant.name, of, name, streams=streams)

    plan_and_act(caller, doors, want)
    with caller.catalog.begin() as db:
        return found_schedule(db, schedule_id, caller)


def remove_schedule(
    caller: Caller, doors: Doors, schedule_id: UUID, *, if_match: str | None = None
) -> ScheduleListed:
    """Remove a schedule; as it was."""

    def remove(db: Db, schedule: Schedule) -> None:
        steering.remove_schedule(db, schedule, now=doors.clock())

    return _steer(caller, doors, schedule_id, remove, action="deleted", if_match=if_match)[0]


def pause_schedule(caller: Caller, doors: Doors, schedule_id: UUID, pause: Pause) -> ScheduleListed:
    """Let a schedule start nothing for a while. Once is as often."""

    def stop(db: Db, schedule: Schedule) -> None:
        steering.pause_schedule(db, schedule, pause, now=doors.clock())

    return _steer(caller, doors, schedule_id, stop, action="paused")[1]


def resume_schedule(caller: Caller, doors: Doors, schedule_id: UUID) -> ScheduleListed:
    """Let a schedule start its sync again; 409 if it would clash. Once is as often."""
    now = doors.clock()

    def go(db: Db, schedule: Schedule) -> None:
        steering.resume_schedule(db, schedule, now=now)

    def check(db: Db) -> None:
        review_resumed(caller.catalog, db, caller.tenant.name, now=now)

    return _steer(caller, doors, schedule_id, go, action="resumed", check=check)[1]


def found_schedule(db: Db, schedule_id: UUID, caller: Caller) -> ScheduleListed:
    """A schedule of the caller's tenant, or 404."""
    found = listing.find_schedule(db, schedule_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("schedule", schedule_id)
    return found


def _steer(
    caller: Caller,
    doors: Doors,
    schedule_id: UUID,
    do: Callable[[Db, Schedule], None],
    *,
    action: str,
    if_match: str | None = None,
    check: Callable[[Db], object] = lambda _: None,
) -> tuple[ScheduleListed, ScheduleListed]:
    """Do something to a schedule that nobody else changes meanwhile; as it was and is.

    ``check`` may refuse what has been done, by any error.
    """
    with caller.catalog.begin() as db:
        found_schedule(db, schedule_id, caller)
        lock_armed_for_all_tenants(db, [schedule_id])
        before = found_schedule(db, schedule_id, caller)
        check_match(if_match, schedule_etag(before))
        do(db, before.scheduled.schedule)
        after = listing.find_schedule(db, schedule_id, tenant_id=caller.tenant.id)
        audit.record(
            db,
            at=doors.clock(),
            actor=caller.actor,
            action=f"schedule.{action}",
            subject=before.scheduled.key,
            tenant_id=caller.tenant.id,
            before=described_schedule(before.scheduled.schedule),
            after=None if after is None else described_schedule(after.scheduled.schedule),
        )
        check(db)
    return before, after or before


def _in_mode(sync: CurrentSync, mode: Mode) -> tuple[SyncStream, ...]:
    try:
        return tuple(
            replace(one, sync_mode=mode.get(one.name, one.sync_mode)) for one in sync.sync.streams
        )
    except ValueError as error:
        raise BodyError([Wrong(field="sync_mode", message=str(error))]) from error


def _patched(schedule: Schedule, patch: Mapping[str, Any]) -> dict[str, Any]:
    held = dict(spelled_schedule(schedule))
    if any(patch.get(key) is not None for key in ("cadence", *OLDER)):
        held.pop("cadence")  # another kind of cadence has other keys
    return merged(held, patch)


def held_sync(current: Current, name: str) -> CurrentSync:
    """A sync of the tenant that is held; `BodyError` names the nearest if there is none."""
    found = current.sync(name)
    if found is None:
        known = [one.sync.name for one in current.syncs]
        hint = nearest(name, known[:20], what="there are")
        raise BodyError([Wrong(field="sync", message=f"there is no sync {name!r}; {hint}")])
    return found


def check_same(field: str, written: object, held: str) -> None:
    """`BodyError` if a body would change what stays."""
    if written is not None and written != held:
        message = f"{field} {held!r} cannot become {written!r}; make a new one, and remove this"
        raise BodyError([Wrong(field=field, message=message)])
