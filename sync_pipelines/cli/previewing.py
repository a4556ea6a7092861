"""``schedules preview``: the next runs of a schedule, before it is saved or after."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.contract import Json
from sync_pipelines.catalog.scheduled import find_scheduled
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.loading import (
    UNSAVED,
    Load,
    load_json,
    load_of_new,
    load_of_saved,
    show_load,
)
from sync_pipelines.cli.output import json_time, print_json, print_line, print_table
from sync_pipelines.cli.times import NOW, From, instant, shown_local
from sync_pipelines.engine.foresight import Coming, coming, foresee
from sync_pipelines.engine.standing import waits_for
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.cadence import CadenceError, parse_cadence, parse_clock_change
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.model.wall import write_interval
from sync_pipelines.timing.firings import Firing, Timetable
from sync_pipelines.timing.words import sentence
from sync_pipelines.timing.zones import find_zone

COLUMNS = ("next runs", "UTC", "what to know")


def preview(
    key: Annotated[
        str | None, typer.Argument(metavar="[TENANT/SYNC/SCHEDULE]", show_default=False)
    ] = None,
    cadence: Annotated[
        str | None,
        typer.Option("--cadence", metavar="YAML", help="Such as '{type: daily, at: \"02:00\"}'."),
    ] = None,
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="An IANA name, with --cadence.")
    ] = "UTC",
    policies: Annotated[
        str, typer.Option("--policies", metavar="YAML", help="Policies, with --cadence.")
    ] = "{}",
    clock_change: Annotated[
        str, typer.Option("--clock-change", metavar="YAML", help="Its rules, with --cadence.")
    ] = "{}",
    sync: Annotated[
        str | None,
        typer.Option(
            "--sync", metavar="TENANT/SYNC", help="The sync it is for, with --cadence: its load."
        ),
    ] = None,
    start: From = NOW,
    count: Annotated[int, typer.Option("--count", min=1, max=1000)] = 5,
    as_json: AsJson = False,
) -> None:
    """The next runs of a schedule; of one that is not saved yet by --cadence."""
    if (key is None) == (cadence is None):
        raise typer.BadParameter("give TENANT/SYNC/SCHEDULE, or --cadence for one to be made")
    if sync is not None and cadence is None:
        raise typer.BadParameter("--sync is for a schedule to be made, and goes with --cadence")
    after = instant(start, timezone)
    try:
        if cadence is not None:
            timetable = _unsaved(cadence, timezone, policies, clock_change, after)
            load = load_of_new(timetable, sync, after)
        else:
            timetable, after, load = _saved(str(key), start)
    except CadenceError as error:
        if as_json:
            print_json({"valid": False, "field": error.field, "error": str(error)})
        raise
    found = coming(timetable, after=after, count=count)
    if as_json:
        print_json(_json(key, timetable, found, load))
    else:
        _show(timetable, found, load, is_saved=key is not None)


def _saved(key: str, start: str) -> tuple[Timetable, datetime, Load | None]:
    with session() as opened, opened.catalog.begin() as db:
        one = find_scheduled(db, key)
        foresight = foresee(db, one.sync.key.partition("/")[0])
    timetable = timetable_of(one.schedule, pause=one.sync.pause)
    after = instant(start, one.schedule.timezone)
    return timetable, after, load_of_saved(foresight, timetable, after)


def _unsaved(
    cadence: str, zone: str, policies: str, clock_change: str, after: datetime
) -> Timetable:
    find_zone(zone)
    return Timetable(
        id=UNSAVED,
        cadence=parse_cadence(_read("cadence", cadence)),
        zone=zone,
        clock_change=parse_clock_change(_read("clock_change", clock_change)),
        policies=parse_policies(_read("policies", policies)),
        anchor=after.astimezone(UTC).replace(second=0, microsecond=0),
    )


def _read(field: str, written: str) -> object:
    try:
        found: object = yaml.safe_load(written)
    except yaml.YAMLError as error:
        raise CadenceError(
            field, f"{field} {written!r} is not YAML; write it as {{type: daily, at: '02:00'}}"
        ) from error
    return found


def _show(timetable: Timetable, found: Coming, load: Load | None, *, is_saved: bool) -> None:
    print_line(sentence(timetable.cadence, timetable.zone))
    if (waits := waits_for(timetable.cadence)) is not None:
        print_line(f"no clock starts it: it {waits}")
        return
    spread = timetable.policies.spread
    if spread and not is_saved:
        minutes = write_interval(spread // timedelta(minutes=1))
        print_line(f"each up to {minutes} earlier or later, always as much; drawn when it is saved")
    if sys.stdout.isatty():
        _crossed_out(timetable, found)
    else:
        rows = [_row(timetable, firing) for firing in found.firings]
        print_table(COLUMNS, rows, empty="nothing is to come: it has ended")
    if found.firings and found.is_over:
        print_line("nothing more is to come")
    elif found.firings and not found.starts:
        print_line("and so on: nothing will start until that changes")
    if load is not None and found.starts:
        show_load(load)


def _crossed_out(timetable: Timetable, found: Coming) -> None:
    """The table for a terminal: what is skipped is crossed out, what clocks do stands out."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for firing in found.firings:
        at, utc, note = _row(timetable, firing)
        style = "" if firing.fires else "strike dim"
        note_style = "yellow" if firing.fires else "dim"
        table.add_row(Text(at, style), Text(utc, style), Text(note, note_style))
    Console().print(table)


def _row(timetable: Timetable, firing: Firing) -> tuple[str, str, str]:
    late = _at(timetable, firing) - firing.due_at
    first, last = firing.first_due_at + late, firing.due_at + late
    said = firing.note or ""
    if firing.count > 1:
        upto = shown_local(last, timetable.zone)
        said = f"skipped, as all {firing.count:,} up to {upto}: {firing.reason}"
    elif firing.reason:
        said = f"skipped: {firing.reason}"
    return shown_local(first, timetable.zone), f"{first.astimezone(UTC):%Y-%m-%d %H:%M}", said


def _at(timetable: Timetable, firing: Firing) -> datetime:
    """When it starts; one that is not saved has no spread of its own yet."""
    return firing.due_at if timetable.id == UNSAVED else firing.at


def _json(key: str | None, timetable: Timetable, found: Coming, load: Load | None) -> Json:
    zone = find_zone(timetable.zone)
    return {
        "valid": True,
        "schedule": key,
        "sentence": sentence(timetable.cadence, timetable.zone),
        "timezone": timetable.zone,
        "cron": timetable.cadence.cron_expression,
        "waits_for": waits_for(timetable.cadence),
        "is_over": found.is_over,
        "next": [
            {
                "due_at": json_time(firing.due_at),
                "at": json_time(_at(timetable, firing)),
                "local": _at(timetable, firing).astimezone(zone).isoformat(),
                "runs": firing.fires,
                "count": firing.count,
                "first_due_at": json_time(firing.first_due_at),
                "cause": None if firing.cause is None else str(firing.cause),
                "reason": firing.reason,
                "note": firing.note,
            }
            for firing in found.firings
        ],
        "load": None if load is None else load_json(load),
    }
