"""What the clocks do on the day of a firing, in words."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from sync_pipelines.model.cadence import Cadence, ClockChange, Missing
from sync_pipelines.timing.instants import instants
from sync_pipelines.timing.patterns import WallTimes, pattern_of
from sync_pipelines.timing.zones import Shift, find_zone, shift_on, start_of

_DAY = timedelta(days=1)


def noted(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    *,
    after: datetime,
    until: datetime,
    anchor: datetime,
) -> Iterator[tuple[datetime, str | None]]:
    """Every instant as ``instants`` finds them, each with what there is to say of its day.

    It says what the clocks do, and what becomes of the firing or of a time left out
    since the one before. None on an ordinary day.
    """
    local = find_zone(zone)
    plain_until = after
    notes: list[str] = []
    for at, fires in _moments(cadence, zone, rules, after=after, until=until, anchor=anchor):
        if at >= plain_until:
            wall = at.astimezone(local)
            shift = shift_on(wall.date(), local)
            if shift is None:
                plain_until = start_of(wall.date() + _DAY, local)
            elif left_out := _left_out(cadence, shift) if at == shift.at else ():
                notes.append(_about_gap(left_out, shift, rules))
            elif fires:
                notes.append(_about_day(wall, shift))
        if fires:
            yield at, "; ".join(notes) if notes else None
            notes.clear()


def _moments(
    cadence: Cadence,
    zone: str,
    rules: ClockChange,
    *,
    after: datetime,
    until: datetime,
    anchor: datetime,
) -> Iterator[tuple[datetime, bool]]:
    """The instants, each with True; among them with False those that a rule leaves out."""
    chosen = instants(cadence, zone, rules, after=after, until=until, anchor=anchor)
    if rules.missing is not Missing.SKIP:
        yield from ((at, True) for at in chosen)
        return
    generous = replace(rules, missing=Missing.AFTER_GAP)
    following = next(chosen, None)
    for at in instants(cadence, zone, generous, after=after, until=until, anchor=anchor):
        yield at, at == following
        if at == following:
            following = next(chosen, None)


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
