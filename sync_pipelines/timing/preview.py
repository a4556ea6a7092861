"""The next firings, with what the clocks do on those days, to be shown before saving."""

from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sync_pipelines.model.cadence import Cadence, ClockChange
from sync_pipelines.timing.instants import horizon
from sync_pipelines.timing.notes import noted
from sync_pipelines.timing.zones import find_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One firing to come: ``at`` in UTC, ``local`` as its zone's clocks show it.

    ``note`` says what the clocks do on its day; None on an ordinary one.
    """

    at: datetime
    local: datetime
    note: str | None = None


def preview(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    *,
    after: datetime,
    anchor: datetime,
    count: int = 5,
) -> tuple[Preview, ...]:
    """The next ``count`` firings after ``after``; fewer only if there are no more."""
    found = noted(cadence, zone, rules, after=after, until=horizon(after), anchor=anchor)
    return tuple(
        Preview(at=at, local=at.astimezone(find_zone(zone)), note=note)
        for at, note in islice(found, count)
    )
