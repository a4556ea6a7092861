"""Blackouts: when a schedule starts nothing, as data in wall time.

Law: a blackout is half open. What starts when it ends is outside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeAlias

from sync_pipelines.model.wall import (
    CadenceError,
    Weekday,
    read_date,
    read_keys,
    read_time,
    read_weekday,
    several,
)

_DAY = timedelta(days=1)
_MIDNIGHT = time()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyBlackout:
    """Every week, on days that begin it, from one wall time up to another.

    One that ends at or before its start goes on past midnight: 00:00 to 00:00 is the
    whole day.
    """

    days: tuple[Weekday, ...] = tuple(Weekday)
    start: time = _MIDNIGHT
    end: time = _MIDNIGHT

    def __post_init__(self) -> None:
        days = sorted({read_weekday(day) for day in self.days}, key=lambda day: day.iso)
        if not days:
            raise CadenceError("days", "days of a blackout is empty; name at least one, or none")
        object.__setattr__(self, "days", tuple(days))
        object.__setattr__(self, "start", read_time(self.start, "from"))
        object.__setattr__(self, "end", read_time(self.end, "to"))

    def __str__(self) -> str:
        days = "every day" if len(self.days) == len(Weekday) else ", ".join(self.days)
        is_whole = self.start == self.end == _MIDNIGHT
        return days if is_whole else f"{days} {self.start:%H:%M} to {self.end:%H:%M}"

    @property
    def edges(self) -> tuple[time, ...]:
        """The wall times at which it may begin or end."""
        return (self.start, self.end)

    def covers(self, wall: datetime) -> bool:
        """Whether a clock that shows ``wall`` shows a time inside; its end is outside."""
        now, today = wall.time(), wall.date()
        if self.start < self.end:
            return self.start <= now < self.end and self._begins_on(today)
        if now >= self.start and self._begins_on(today):
            return True
        return now < self.end and self._begins_on(today - _DAY)

    def _begins_on(self, day: date) -> bool:
        return any(day.isoweekday() == chosen.iso for chosen in self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateBlackout:
    """Whole local days, from the first to the last, both included."""

    first_on: date
    last_on: date

    def __post_init__(self) -> None:
        first, last = read_date("from", self.first_on), read_date("to", self.last_on)
        object.__setattr__(self, "first_on", first)
        object.__setattr__(self, "last_on", last)
        if last < first:
            raise CadenceError("to", f"to {last} of a blackout is before its from, {first}")

    def __str__(self) -> str:
        if self.first_on == self.last_on:
            return f"{self.first_on}"
        return f"{self.first_on} to {self.last_on}"

    @property
    def edges(self) -> tuple[time, ...]:
        """None besides midnight."""
        return ()

    def covers(self, wall: datetime) -> bool:
        """Whether a clock that shows ``wall`` shows one of its days."""
        return self.first_on <= wall.date() <= self.last_on


Blackout: TypeAlias = WeeklyBlackout | DateBlackout


def blackout_mapping(blackout: Blackout) -> Mapping[str, object]:
    """The blackout as ``parse_blackout`` reads it."""
    if isinstance(blackout, DateBlackout):
        return {"from": blackout.first_on.isoformat(), "to": blackout.last_on.isoformat()}
    start, end = f"{blackout.start:%H:%M}", f"{blackout.end:%H:%M}"
    return {"days": [str(day) for day in blackout.days], "from": start, "to": end}


def parse_blackout(value: object) -> Blackout:
    """``{days: [sat, sun], from: "22:00", to: "06:00"}``, or ``{from: "2026-12-24"}`` by dates."""
    written = read_keys("blackouts", value, ("days", "from", "to"))
    first = written.get("from", _MIDNIGHT)
    is_date = isinstance(first, date) or (isinstance(first, str) and first.count("-") == 2)
    if is_date and "days" not in written:
        last = written.get("to", first)
        return DateBlackout(first_on=read_date("from", first), last_on=read_date("to", last))
    days = several(written.get("days", list(Weekday)))
    return WeeklyBlackout(
        days=tuple(read_weekday(day) for day in days),
        start=read_time(first, "from"),
        end=read_time(written.get("to", _MIDNIGHT), "to"),
    )
