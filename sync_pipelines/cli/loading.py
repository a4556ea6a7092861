"""The load that a schedule brings, for ``schedules preview``: in words, a picture and numbers.

Law: it is what the simulator says of all the tenant's schedules, with this one and without.
"""

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from connectors.contract import Json
from sync_pipelines.catalog.scheduled import seen_sync
from sync_pipelines.cli.doors import session
from sync_pipelines.cli.heating import draw, legend, map_json
from sync_pipelines.cli.output import json_time, print_line, shown_duration
from sync_pipelines.engine.foresight import ASSUMED, Foresight, foresee, typical_of
from sync_pipelines.engine.standing import waits_for
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.heat import Comparison, HeatMap, Hour, with_and_without
from sync_pipelines.timing.simulate import Simulated
from sync_pipelines.timing.words import place

UNSAVED = UUID(int=0)
"""The id of a schedule that has none yet."""

FEW_SCHEDULES = 200
"""Up to so many schedules are played for four weeks, more for one."""

_ALONE = "nobody/nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Some weeks of a tenant, with a schedule and without it.

    ``tenant`` is None where the schedule was played alone. ``duration`` is what an
    execution of its sync is taken to last, from ``measured`` of them.
    """

    tenant: str | None
    comparison: Comparison
    after: datetime
    weeks: int
    duration: timedelta
    measured: int

    def busy(self, heat: HeatMap, hour: Hour) -> timedelta:
        """The work in an hour of a mean week."""
        return heat.cell(hour.day, hour.hour).busy / self.weeks


def load_of_new(timetable: Timetable, sync: str | None, after: datetime) -> Load | None:
    """What a schedule that is not saved adds to its tenant, or makes by itself without a sync.

    None where no clock starts it.
    """
    if waits_for(timetable.cadence) is not None:
        return None
    if sync is None:
        alone = Simulated(timetable=timetable, sync=_ALONE, duration=ASSUMED)
        return _load(None, [alone], alone, after, measured=0)
    with session() as opened, opened.catalog.begin() as db:
        seen = seen_sync(db, sync)
        duration, measured = typical_of(db, seen)
        foresight = foresee(db, sync.partition("/")[0])
    new = Simulated(timetable=timetable, sync=seen.key, duration=duration)
    others = [one.simulated for one in foresight.schedules]
    return _load(foresight.tenant, [*others, new], new, after, measured=measured)


def load_of_saved(foresight: Foresight, timetable: Timetable, after: datetime) -> Load | None:
    """What one of a tenant's schedules adds to the others; None where no clock starts it."""
    if waits_for(timetable.cadence) is not None:
        return None
    (one,) = (one for one in foresight.schedules if one.simulated.timetable.id == timetable.id)
    every = [each.simulated for each in foresight.schedules]
    return _load(foresight.tenant, every, one.simulated, after, measured=one.measured)


def is_watched() -> bool:
    """Whether the result goes to a terminal."""
    return sys.stdout.isatty()


def show_load(load: Load) -> None:
    """The load in words; on a terminal with a picture of the week."""
    print_line(_added(load))
    if not load.comparison.with_it.total.starts:
        return
    print_line(_busiest(load))
    if is_watched():
        found = load.comparison.with_it
        most = found.busiest.busy_seconds
        draw("with it", found, most=most, weeks=load.weeks)
        legend(most=most, weeks=load.weeks)


def load_json(load: Load) -> Json:
    """The same for programs, with every hour; ``adds`` and ``busiest`` are of a mean week."""
    with_it, without_it = load.comparison.with_it, load.comparison.without_it
    added, hour = load.comparison.added, with_it.busiest_hour
    return {
        "tenant": load.tenant,
        "from": json_time(load.after),
        "until": json_time(load.after + timedelta(weeks=load.weeks)),
        "timezone": with_it.zone,
        "seconds_each": load.duration.total_seconds(),
        "measured": load.measured,
        "adds": {
            "starts": added.starts / load.weeks,
            "busy_seconds": added.busy_seconds / load.weeks,
        },
        "busiest": {
            "day": str(hour.day),
            "hour": hour.hour,
            "with_seconds": load.busy(with_it, hour).total_seconds(),
            "without_seconds": load.busy(without_it, hour).total_seconds(),
        },
        "with": map_json(with_it),
        "without": map_json(without_it),
    }


def _load(
    tenant: str | None,
    schedules: list[Simulated],
    one: Simulated,
    after: datetime,
    *,
    measured: int,
) -> Load:
    weeks = 4 if len(schedules) <= FEW_SCHEDULES else 1
    timetable = one.timetable
    comparison = with_and_without(
        schedules,
        timetable.id,
        after=after,
        until=after + timedelta(weeks=weeks),
        zone=timetable.zone,
    )
    return Load(
        tenant=tenant,
        comparison=comparison,
        after=after,
        weeks=weeks,
        duration=one.duration,
        measured=measured,
    )


def _added(load: Load) -> str:
    added = load.comparison.added
    if added.starts <= 0:
        return f"load: no more starts than without it, in {_weeks(load)}"
    each = "assumed" if not load.measured else f"as the last {load.measured} typically did"
    number = f"{added.starts / load.weeks:,.1f}".removesuffix(".0")
    starts = "1 start" if number == "1" else f"{number} starts"
    return (
        f"load: it adds {starts} a week and {shown_duration(added.busy / load.weeks)} of"
        f" work ({shown_duration(load.duration)} each, {each})"
    )


def _busiest(load: Load) -> str:
    with_it, without_it = load.comparison.with_it, load.comparison.without_it
    hour, before = with_it.busiest_hour, without_it.busiest_hour
    work = shown_duration(load.busy(with_it, hour))
    said = f"busiest hour: {_hour(hour)} ({place(with_it.zone)}), {work} of work"
    if load.tenant is None:
        return f"{said}, alone; --sync TENANT/SYNC shows it among the tenant's others"
    if not without_it.total.starts:
        return f"{said}; the tenant has nothing else"
    without = shown_duration(load.busy(without_it, hour))
    if hour != before:
        most = shown_duration(load.busy(without_it, before))
        return f"{said}, {without} without it; so far it is {_hour(before)} with {most}"
    return f"{said}, {without} without it"


def _hour(hour: Hour) -> str:
    return f"{hour.day.title()} {hour.hour:02}:00 to {hour.hour + 1:02}:00"


def _weeks(load: Load) -> str:
    return "a week" if load.weeks == 1 else f"{load.weeks} weeks"
