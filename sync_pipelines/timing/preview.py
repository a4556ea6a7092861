"""The next firings, with what the clocks do on those days, to be shown before saving."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from sync_pipelines.model.cadence import Cadence, ClockChange, Missing
from sync_pipelines.timing.instants import horizon, instants
from sync_pipelines.timing.patterns import WallTimes, pattern_of
from sync_pipelines.timing.zones import Shift, find_zone, shift_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """One firing to come: ``at`` in UTC, ``local`` as its zone's clocks show it.

    ``note`` says what the clocks do on its day, and what becomes of it or of a time
    left out since the firing before. None on an ordinary day.
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
) -> tuple[Firing, ...]:
    """The next ``count`` firings after ``after``; fewer only if there are no more."""
    found = instants(cadence, zone, rules, after=after, until=horizon(after), anchor=anchor)
    chosen = list(islice(found, count))
    if not chosen:
        return ()
    generous = replace(rules, missing=Missing.AFTER_GAP)
    moments = instants(cadence, zone, generous, after=after, until=chosen[-1], anchor=anchor)
    return tuple(_firings(cadence, zone, rules, moments, set(chosen)))


def _firings(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    moments: Iterator[datetime],
    chosen: set[datetime],
) -> Iterator[Firing]:
    """Firings of the chosen moments; what there is to say of others is said of the next."""
    notes: list[str] = []
    for at in moments:
        local = at.astimezone(find_zone(zone))
        shift = shift_on(local.date(), find_zone(zone))
        if shift is not None:
            left_out = _left_out(cadence, shift) if at == shift.at else ()
            if left_out:
                notes.append(_about_gap(left_out, shift, rules))
            elif at in chosen:
                notes.append(_about_day(local, shift))
        if at in chosen:
            yield Firing(at=at, local=local, note="; ".join(notes) or None)
            notes.clear()


def _left_out(cadence: Cadence, shift: Shift) -> tuple[datetime, ...]:
    """The cadence's wall times that a clock set forward does not show."""
    pattern = pattern_of(cadence)
    if not isinstance(pattern, WallTimes) or not shift.is_forward:
        return ()
    first, last = shift.old_wall.date(), shift.new_wall.date()
    walls: list[datetime] = []
    for day in pattern.days.since(first):
        if day > last:
            break
        walls += (datetime.combine(day, at) for at in pattern.times)
    return tuple(wall for wall in walls if shift.old_wall <= wall < shift.new_wall)


def _about_gap(left_out: tuple[datetime, ...], shift: Shift, rules: ClockChange) -> str:
    names = [f"{wall:%H:%M}" for wall in left_out]
    times = f"{names[0]} to {names[-1]}" if len(names) > 2 else " and ".join(names)
    do = "does" if len(names) == 1 else "do"
    fate = "skipped" if rules.missing is Missing.SKIP else "fires once, right after"
    return f"{times} {do} not exist on {left_out[0]:%Y-%m-%d}: {_change(shift)}; {fate}"


def _about_day(local: datetime, shift: Shift) -> str:
    if shift.is_forward or not shift.new_wall <= local.replace(tzinfo=None) < shift.old_wall:
        return f"{_change(shift)} on this day"
    which = "second" if local.fold else "first"
    return f"{local:%H:%M} happens twice on this day: {_change(shift)}; this is the {which}"


def _change(shift: Shift) -> str:
    how = "forward" if shift.is_forward else "back"
    same_day = shift.old_wall.date() == shift.new_wall.date()
    pattern = "%H:%M" if same_day else "%Y-%m-%d %H:%M"
    return f"clocks go {how} from {shift.old_wall:{pattern}} to {shift.new_wall:{pattern}}"
