"""Which schedules fire for an event, as far as their cadences go; what for, and why none does."""

from collections.abc import Sequence

from sync_pipelines.catalog.listeners import Listener
from sync_pipelines.model.cadence import Event as OnEvent
from sync_pipelines.model.cadence import Realtime
from sync_pipelines.model.condition import holds, unmet
from sync_pipelines.model.event import Event
from sync_pipelines.model.execution import Request

MOST_REASONS = 5
"""So many schedules' reasons are told of one event."""


def hearing_of(listening: Sequence[Listener], event: Event) -> list[Listener]:
    """Those that fire for an event.

    Of the realtime ones, where it says which streams changed, those that read one of them;
    all, if none does: better a look too many than a change that nobody reads.
    """
    hearing = [one for one in listening if _hears(one, event)]
    live = [one for one in hearing if isinstance(one.cadence, Realtime)]
    changed = {_plain(name) for name in event.streams}
    reading = [one for one in live if changed & {_plain(name) for name in one.streams}]
    if event.sync_id is not None or not reading:
        return hearing
    return [one for one in hearing if one not in live or one in reading]


def asked_of(mine: Sequence[Listener], event: Event) -> Request:
    """What one sync is to read for an event that these schedules of it hear.

    The streams that the event names, where all of them are realtime; else the whole sync:
    conditions stand for more than a stream, and an event may name none that it reads.
    """
    changed = {_plain(name) for name in event.streams}
    reads = mine[0].streams
    named = tuple(name for name in reads if _plain(name) in changed)
    if len(named) in (0, len(reads)) or not all(isinstance(one.cadence, Realtime) for one in mine):
        return Request()
    return Request(streams=named)


def together(first: Request, second: Request) -> Request:
    """What stands for both, of two that ask for streams or for all and for nothing else."""
    if not first.streams or not second.streams:
        return Request()
    return Request(streams=tuple(dict.fromkeys((*first.streams, *second.streams))))


def unheard(listening: Sequence[Listener], event: Event) -> str:
    """Why no schedule fires for an event."""
    reasons = []
    for one in listening:
        if isinstance(one.cadence, OnEvent) and one.cadence.trigger is event.source:
            condition = unmet(one.cadence.conditions, event.facts)
            reasons.append(f"{one.sync_key}/{one.name} asks that {condition}")
    if reasons:
        return f"a condition is not met: {listed(reasons)}"
    return (
        f"nothing waits for it: no schedule has trigger {event.source}, and no realtime one "
        f"reads from {event.platform!r}"
    )


def listed(reasons: Sequence[str]) -> str:
    """Reasons in a line, not too many."""
    more = len(reasons) - MOST_REASONS
    return "; ".join([*reasons[:MOST_REASONS], *([f"and {more} more"] if more > 0 else [])])


def _hears(listener: Listener, event: Event) -> bool:
    """Whether a schedule fires for an event, as far as its cadence goes."""
    match listener.cadence:
        case OnEvent() as cadence:
            return cadence.trigger is event.source and holds(cadence.conditions, event.facts)
        case Realtime():
            named = event.sync_id == listener.sync_id
            return named or event.platform in (listener.connector, listener.connection)
    return False


def _plain(stream: str) -> str:
    """A stream's name without what providers spell in their own ways."""
    return "".join(char for char in stream.lower() if char.isalnum() or char == ".")
