"""A schedule as the rooms of time know it: its timetable, and when it starts something next."""

from dataclasses import replace
from datetime import datetime

from sync_pipelines.model.cadence import Adaptive, Cadence, Every
from sync_pipelines.model.policy import Pause, Policies
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.timing.firings import Timetable, starts

SWITCHED_OFF = "it is switched off"


def timetable_of(schedule: Schedule, *, pause: str | None) -> Timetable:
    """When a schedule fires; ``pause`` says why its whole sync is paused, if it is."""
    cadence, anchor = _present(schedule)
    return Timetable(
        id=schedule.id,
        cadence=cadence,
        zone=schedule.timezone,
        clock_change=schedule.clock_change,
        policies=_policies(schedule, pause),
        anchor=anchor,
    )


def next_start(timetable: Timetable, *, after: datetime) -> datetime | None:
    """When it may first start something due after ``after``; None if that is never."""
    found = next(starts(timetable, after=after), None)
    return None if found is None else found.at


def rearmed(
    schedule: Schedule, *, pause: str | None, now: datetime, has_new_slots: bool = False
) -> Schedule:
    """A new or changed schedule, ready for what is to come.

    What has its decision keeps it. An instant that has none yet is still to come, even
    where a new spread moves its start before now; but with ``has_new_slots``, those of a
    new cadence, zone or rule, what would have been due before now never was its own.
    """
    timetable = timetable_of(schedule, pause=pause)
    reached = now - timetable.offset
    until = schedule.decided_until or reached
    if has_new_slots:
        until = max(until, reached)
    return replace(schedule, decided_until=until, next_run_at=next_start(timetable, after=until))


def decided_at(schedule: Schedule, now: datetime) -> datetime:
    """Up to where a schedule's instants are decided once everything due now is."""
    reached = now - timetable_of(schedule, pause=None).offset
    return max(reached, schedule.decided_until or reached)


def _present(schedule: Schedule) -> tuple[Cadence, datetime]:
    """The cadence that clocks drive now, and what it counts from."""
    if not isinstance(schedule.cadence, Adaptive):
        return schedule.cadence, schedule.anchor
    if schedule.learned is None:
        return Every(minutes=schedule.cadence.least), schedule.anchor
    return Every(minutes=schedule.learned.minutes), schedule.learned.since


def _policies(schedule: Schedule, pause: str | None) -> Policies:
    reason = SWITCHED_OFF if not schedule.is_active else pause
    if reason is None:
        return schedule.policies
    return replace(schedule.policies, pause=Pause(reason=reason))
