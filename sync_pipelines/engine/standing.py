"""How a schedule stands: whether anything is to come of it, and if not, why."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sync_pipelines.catalog.scheduled import Scheduled
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.cadence import After, Cadence, Event, EventTrigger, Manual, Realtime
from sync_pipelines.timing.bars import Cause, bar_at
from sync_pipelines.timing.firings import next_firing


class State(StrEnum):
    """What a schedule does at a moment."""

    ACTIVE = "active"
    WAITING = "waiting"
    MANUAL = "manual"
    PAUSED = "paused"
    NOT_BEGUN = "not_begun"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A state, and the words for it: "active", "paused: stocktaking", "waits for webhooks"."""

    state: State
    said: str


_EVENTS = {
    EventTrigger.WEBHOOK: "waits for webhooks",
    EventTrigger.API: "waits for API calls",
    EventTrigger.USER_ACTION: "waits for users' actions",
}
_BARRED = {
    Cause.ENDED: State.ENDED,
    Cause.NOT_STARTED: State.NOT_BEGUN,
    Cause.PAUSED: State.PAUSED,
}


def standing_of(scheduled: Scheduled, now: datetime) -> Standing:
    """How a schedule stands now. A blackout does not change it: those pass by themselves."""
    timetable = timetable_of(scheduled.schedule, pause=scheduled.sync.pause)
    bar = bar_at(timetable.policies, timetable.local, now)
    if bar is not None and bar.cause in _BARRED:
        return Standing(state=_BARRED[bar.cause], said=bar.reason)
    waits = waits_for(scheduled.schedule.cadence)
    if waits is not None:
        is_manual = isinstance(scheduled.schedule.cadence, Manual)
        return Standing(state=State.MANUAL if is_manual else State.WAITING, said=waits)
    if next_firing(timetable, after=now - timetable.offset) is None:
        return Standing(state=State.ENDED, said="nothing more is to come of it")
    return Standing(state=State.ACTIVE, said="active")


def waits_for(cadence: Cadence) -> str | None:
    """What starts a schedule that no clock drives; None if one does."""
    match cadence:
        case Manual():
            return "runs only when somebody triggers it"
        case Realtime():
            return "waits for changes at the source"
        case Event() as event:
            return _EVENTS[event.trigger]
        case After() as after:
            return f"waits for {after.sync} to succeed"
        case _:
            return None
