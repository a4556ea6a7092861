"""Whether one schedule fires just as another does, or only when another does too."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    Cron,
    Event,
    Every,
    Manual,
    Realtime,
)
from sync_pipelines.model.policy import Missed, Overlap, Policies, Priority
from sync_pipelines.timing.bars import TICK
from sync_pipelines.timing.cron import simplest
from sync_pipelines.timing.firings import Timetable, starts

SAMPLE = 200
"""So many firings are compared where reading the cadences is not enough."""

LOOK_AHEAD = timedelta(days=400)


def fires_alike(one: Timetable, other: Timetable) -> bool:
    """Whether both fire at the same instants because they say the same."""
    cadence = _plain(one.cadence)
    if isinstance(cadence, Manual) or cadence != _plain(other.cadence):
        return False
    if one.offset != other.offset or _about_time(one) != _about_time(other):
        return False
    if isinstance(cadence, Realtime | Event | After):
        return not one.policies.blackouts or one.zone == other.zone
    if isinstance(cadence, Every):
        step = timedelta(minutes=cadence.minutes)
        is_in_step = (one.anchor - other.anchor) % step == timedelta(0)
        return is_in_step and (not one.policies.blackouts or one.zone == other.zone)
    if isinstance(cadence, Adaptive):
        return not one.policies.blackouts or one.zone == other.zone
    return one.zone == other.zone and one.clock_change == other.clock_change


def fires_within(one: Timetable, other: Timetable, *, after: datetime) -> bool:
    """Whether ``other`` too fires at each of the next firings of ``one``, or of its events."""
    if isinstance(one.cadence, Event) and isinstance(other.cadence, Event):
        return (
            one.cadence.trigger is other.cadence.trigger
            and set(other.cadence.conditions) <= set(one.cadence.conditions)
            and not other.policies.blackouts
            and _about_time(one) == _about_time(other)
        )
    if isinstance(one.cadence, Adaptive) or isinstance(other.cadence, Adaptive):
        return False
    coming = starts(one, after=after, until=after + LOOK_AHEAD)
    sample = [firing.at for firing in islice(coming, SAMPLE)]
    return bool(sample) and all(_starts_at(other, at) for at in sample)


def _starts_at(timetable: Timetable, at: datetime) -> bool:
    due_at = at - timetable.offset
    return next(starts(timetable, after=due_at - TICK, until=due_at), None) is not None


def _plain(cadence: Cadence) -> Cadence:
    """The simplest cadence that fires alike."""
    return simplest(cadence) if isinstance(cadence, Cron) else cadence


def _about_time(timetable: Timetable) -> Policies:
    """What its policies say of when; how it treats its own executions is another matter."""
    return replace(
        timetable.policies,
        overlap=Overlap.SKIP,
        priority=Priority.NORMAL,
        spread=timedelta(0),
        missed=Missed(),
    )
