"""Heat maps of a week: blocks on a terminal, numbers for programs."""

from collections import Counter
from datetime import datetime, timedelta

from rich.console import Console
from rich.text import Text

from connectors.contract import Json
from sync_pipelines.cli.output import json_time, print_json, print_line, shown_duration
from sync_pipelines.engine.foresight import Foreseen, Foresight
from sync_pipelines.model.wall import Weekday
from sync_pipelines.timing.heat import Cell, HeatMap
from sync_pipelines.timing.words import place

BLOCKS = " ░▒▓█"
COLOURS = ("default", "green", "yellow", "dark_orange", "red")
"""From nothing to as busy as the busiest hour."""


def show(
    foresight: Foresight,
    chosen: Foreseen | None,
    *,
    after: datetime,
    until: datetime,
    as_json: bool,
) -> None:
    """The week's load; with a chosen schedule also as it would be without it."""
    zone = chosen.simulated.timetable.zone if chosen else _commonest_zone(foresight)
    maps = [("all schedules", foresight.heat(after=after, until=until, zone=zone))]
    if chosen is not None:
        others = foresight.without(chosen.simulated.timetable.id)
        without = others.heat(after=after, until=until, zone=zone)
        maps.append((f"without {chosen.scheduled.key}", without))
    if as_json:
        print_json(
            {
                "tenant": foresight.tenant,
                "schedule": None if chosen is None else chosen.scheduled.key,
                "from": json_time(after),
                "until": json_time(until),
                "timezone": zone,
                "with": map_json(maps[0][1]),
                "without": map_json(maps[1][1]) if chosen is not None else None,
            }
        )
        return
    weeks = (until - after) / timedelta(weeks=1)
    most = max(found.busiest.busy_seconds for _, found in maps)
    for title, found in maps:
        draw(title, found, most=most, weeks=weeks)
    legend(most=most, weeks=weeks)


def legend(*, most: float, weeks: float) -> None:
    """What the blocks stand for."""
    busiest = shown_duration(timedelta(seconds=most / weeks))
    print_line(f"{BLOCKS[1]} little to {BLOCKS[-1]} {busiest} of work in that hour of a mean week")


def draw(title: str, found: HeatMap, *, most: float, weeks: float) -> None:
    """Seven rows of 24 hours; ``most`` is how many busy seconds the darkest block stands for."""
    console = Console(highlight=False)
    starts = sum(cell.starts for row in found.cells for cell in row)
    console.print(Text(f"{title}: {starts / weeks:,.1f} starts a week ({place(found.zone)})"))
    console.print(Text("     " + "".join(f"{hour:<6}" for hour in range(0, 24, 3))))
    for day in Weekday:
        line = Text(f"{day.title()}  ")
        for hour in range(24):
            level = _level(found.cell(day, hour), most)
            line.append(BLOCKS[level] * 2, COLOURS[level])
        line.rstrip()
        console.print(line)


def _level(cell: Cell, most: float) -> int:
    """0 for nothing, 1 for anything up to a quarter of the most, 4 for more than three."""
    if not cell.busy_seconds:
        return 0
    return min(len(BLOCKS) - 1, 1 + int((len(BLOCKS) - 1) * cell.busy_seconds / most * 0.9999))


def _commonest_zone(foresight: Foresight) -> str:
    zones = Counter(one.simulated.timetable.zone for one in foresight.schedules)
    return zones.most_common(1)[0][0] if zones else "UTC"


def map_json(found: HeatMap) -> Json:
    """Starts and busy seconds of each hour, by weekday."""
    return {
        str(day): [
            {"hour": hour, "starts": cell.starts, "busy_seconds": cell.busy_seconds}
            for hour, cell in enumerate(found.cells[day.iso - 1])
        ]
        for day in Weekday
    }
