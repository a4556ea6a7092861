"""When in the week it is busy: starts and busy time by weekday and hour."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sync_pipelines.model.wall import Weekday
from sync_pipelines.timing.simulate import Occurrence, Simulated, busy, simulate
from sync_pipelines.timing.zones import find_zone

_HOUR = timedelta(hours=1)
_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One hour of the week, over all weeks: executions that start, and the time that they run."""

    starts: int = 0
    busy: timedelta = _NOTHING

    @property
    def busy_seconds(self) -> float:
        """The time that executions run; above 3,600 a week where several do at once."""
        return self.busy.total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour of the week: 2 is from 02:00 to 03:00."""

    day: Weekday
    hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A cell for each of 24 hours of each of seven days, Monday first, on a zone's clocks."""

    zone: str
    cells: tuple[tuple[Cell, ...], ...]

    def cell(self, day: Weekday, hour: int) -> Cell:
        """The cell of an hour."""
        return self.cells[day.iso - 1][hour]

    @property
    def busiest(self) -> Cell:
        """The cell with the most busy time: what a colour scale ends at."""
        return self.cell(self.busiest_hour.day, self.busiest_hour.hour)

    @property
    def busiest_hour(self) -> Hour:
        """The hour with the most busy time; of several, the first of the week."""
        hours = (Hour(day=day, hour=hour) for day in Weekday for hour in range(24))
        return max(hours, key=lambda one: self.cell(one.day, one.hour).busy)

    @property
    def total(self) -> Cell:
        """All hours as one."""
        cells = [cell for row in self.cells for cell in row]
        return Cell(
            starts=sum(cell.starts for cell in cells),
            busy=sum((cell.busy for cell in cells), _NOTHING),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The load with one schedule and without it."""

    with_it: HeatMap
    without_it: HeatMap

    @property
    def added(self) -> Cell:
        """What it adds to the whole; less than nothing where it keeps others from starting."""
        after, before = self.with_it.total, self.without_it.total
        return Cell(starts=after.starts - before.starts, busy=after.busy - before.busy)


def heat_map(occurrences: Sequence[Occurrence], zone: str) -> HeatMap:
    """The load of what was simulated, as a zone's clocks show it."""
    local = find_zone(zone)
    starts = [[0] * 24 for _ in Weekday]
    times = [[_NOTHING] * 24 for _ in Weekday]
    for start, end in busy(occurrences):
        wall = start.astimezone(local)
        starts[wall.weekday()][wall.hour] += 1
        at = start
        while at < end:
            wall = at.astimezone(local)
            following = min(end, at + _to_next_hour(wall))
            times[wall.weekday()][wall.hour] += following - at
            at = following
    return HeatMap(
        zone=zone,
        cells=tuple(
            tuple(Cell(starts=number, busy=time) for number, time in zip(*row, strict=True))
            for row in zip(starts, times, strict=True)
        ),
    )


def with_and_without(
    schedules: Sequence[Simulated],
    schedule_id: UUID,
    *,
    after: datetime,
    until: datetime,
    zone: str,
) -> Comparison:
    """What one schedule adds; without it, others may run that it would have kept waiting."""
    others = [schedule for schedule in schedules if schedule.timetable.id != schedule_id]
    return Comparison(
        with_it=heat_map(simulate(schedules, after=after, until=until), zone),
        without_it=heat_map(simulate(others, after=after, until=until), zone),
    )


def _to_next_hour(wall: datetime) -> timedelta:
    return _HOUR - timedelta(
        minutes=wall.minute, seconds=wall.second, microseconds=wall.microsecond
    )
