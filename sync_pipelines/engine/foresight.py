"""What is to come of schedules: the next firings of one, and all of a tenant played forward.

Law: what a schedule would do is said by ``timing``; here it is only given what the
catalog knows, and how long executions have taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, islice
from statistics import median
from uuid import UUID

from sqlalchemy import Connection as Db

from connectors.errors import ConfigError
from sync_pipelines.catalog.durations import recent_for_all_tenants
from sync_pipelines.catalog.scheduled import Scheduled, SyncSeen, scheduled_of_tenant
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.firings import Firing, Timetable, due, firings, upcoming
from sync_pipelines.timing.heat import HeatMap, heat_map
from sync_pipelines.timing.instants import horizon
from sync_pipelines.timing.simulate import Occurrence, Simulated, play

FEW = 3
"""So many firings in a row that are left out for one reason are listed one by one."""

ASSUMED = timedelta(minutes=1)
"""How long an execution of a sync is taken to last that has never got through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """A schedule to play forward; ``measured`` says how many executions its duration is from."""

    scheduled: Scheduled
    simulated: Simulated
    measured: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """A tenant's schedules, ready to be played forward."""

    tenant: str
    schedules: tuple[Foreseen, ...]

    def only_with(self, schedule_id: UUID) -> "Foresight":
        """Only what can change what a schedule does: its sync's schedules, and those awaited."""
        (sync,) = (
            one.scheduled.sync.key
            for one in self.schedules
            if one.simulated.timetable.id == schedule_id
        )
        wanted = _reached(self.schedules, sync)
        kept = tuple(one for one in self.schedules if one.scheduled.sync.key in wanted)
        return Foresight(tenant=self.tenant, schedules=kept)

    def without(self, schedule_id: UUID) -> "Foresight":
        """The same, had that schedule never been made."""
        kept = tuple(one for one in self.schedules if one.simulated.timetable.id != schedule_id)
        return Foresight(tenant=self.tenant, schedules=kept)

    def play(self, *, after: datetime, until: datetime) -> Iterator[Occurrence]:
        """Every firing due after ``after`` and at most ``until``, in the order of starts."""
        return play([one.simulated for one in self.schedules], after=after, until=until)

    def heat(self, *, after: datetime, until: datetime, zone: str) -> HeatMap:
        """When in the week it is busy, on a zone's clocks."""
        return heat_map(tuple(self.play(after=after, until=until)), zone)


def foresee(db: Db, tenant: str) -> Foresight:
    """A tenant's schedules with the durations that their syncs' executions typically have."""
    found = scheduled_of_tenant(db, tenant)
    durations = recent_for_all_tenants(db, [one.sync.id for one in found])
    return Foresight(
        tenant=tenant,
        schedules=tuple(_foreseen(one, durations.get(one.sync.id, ())) for one in found),
    )


def typical_of(db: Db, sync: SyncSeen) -> tuple[timedelta, int]:
    """How long an execution of a sync typically takes, and how many were measured."""
    durations = recent_for_all_tenants(db, [sync.id]).get(sync.id, ())
    return _typical(durations), len(durations)


def find_foreseen(foresight: Foresight, name: str) -> Foreseen:
    """The schedule ``sync/name`` of a tenant; `ConfigError` names those that there are."""
    names = {one.scheduled.key.partition("/")[2]: one for one in foresight.schedules}
    if name not in names:
        known = ", ".join(sorted(names)[:10]) or "none yet"
        raise ConfigError(f"no schedule {name!r} of {foresight.tenant!r}; there are: {known}")
    return names[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """The next firings in order, of which ``starts`` may start; the rest say why they may not.

    ``is_over`` says that nothing more comes after them.
    """

    firings: tuple[Firing, ...]
    starts: int
    is_over: bool


def coming(timetable: Timetable, *, after: datetime, count: int = 5) -> Coming:
    """The next ``count`` firings that may start, and what is left out up to the last of them.

    Where none may, as many of those that may not, up to the schedule's end. Many in a
    row that are left out for one reason come as one.
    """
    able = upcoming(timetable, after=after, count=count)
    if not able:
        barred = _barred(timetable, after, count)
        return Coming(firings=barred, starts=0, is_over=len(barred) < count)
    last = able[-1].at
    left_out = (firing for firing in due(timetable, after=after, now=last) if not firing.fires)
    found = sorted((*able, *left_out), key=lambda firing: firing.first_due_at)
    return Coming(firings=_in_runs(found), starts=len(able), is_over=len(able) < count)


def _in_runs(found: Sequence[Firing]) -> tuple[Firing, ...]:
    """The same, with more than a few in a row that share a bar as one."""
    kept: list[Firing] = []
    for _, group in groupby(found, key=lambda firing: firing.reason or firing.due_at):
        run = tuple(group)
        number = sum(firing.count for firing in run)
        if number <= FEW:
            kept += run
        else:
            kept.append(replace(run[-1], first_due_at=run[0].first_due_at, count=number))
    return tuple(kept)


def _barred(timetable: Timetable, after: datetime, count: int) -> tuple[Firing, ...]:
    found: list[Firing] = []
    for firing in islice(firings(timetable, after=after, until=horizon(after)), count):
        if firing.cause is Cause.ENDED:
            break
        found.append(firing)
    return tuple(found)


def _foreseen(scheduled: Scheduled, durations: Sequence[timedelta]) -> Foreseen:
    return Foreseen(
        scheduled=scheduled,
        simulated=Simulated(
            timetable=timetable_of(scheduled.schedule, pause=scheduled.sync.pause),
            sync=scheduled.sync.key,
            duration=_typical(durations),
        ),
        measured=len(durations),
    )


def _typical(durations: Sequence[timedelta]) -> timedelta:
    seconds = [duration.total_seconds() for duration in durations]
    return timedelta(seconds=median(seconds)) if seconds else ASSUMED


def _reached(schedules: Sequence[Foreseen], sync: str) -> set[str]:
    """A sync, and those whose success it waits for, near and far."""
    awaited: dict[str, set[str]] = {}
    for one in schedules:
        if (other := one.simulated.waits_for) is not None:
            awaited.setdefault(one.scheduled.sync.key, set()).add(other)
    reached, ahead = {sync}, [sync]
    while ahead:
        for other in awaited.get(ahead.pop(), set()) - reached:
            reached.add(other)
            ahead.append(other)
    return reached
