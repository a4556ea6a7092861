"""``schedules simulate``: a tenant's schedules played forward, as lines or as a heat map."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, TypeAlias
from uuid import UUID

import typer

from connectors.contract import Json
from sync_pipelines.cli import heating
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.output import json_time, print_line, print_table, shown_duration
from sync_pipelines.cli.times import NOW, From, instant, shown_local
from sync_pipelines.engine.foresight import Foreseen, Foresight, find_foreseen, foresee
from sync_pipelines.timing.decisions import Outcome
from sync_pipelines.timing.simulate import Occurrence
from sync_pipelines.timing.zones import find_zone

Names: TypeAlias = Mapping[UUID, Foreseen]

FIRST = 20
"""So many firings are shown where nobody asked for all."""

COLUMNS = ("due", "schedule", "decision", "would run", "what to know")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The time that is played."""

    after: datetime
    until: datetime


@dataclass(slots=True, kw_only=True)
class Tally:
    """What has been seen of a simulation."""

    outcomes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    schedules: set[UUID] = field(default_factory=set)
    busy: timedelta = timedelta(0)
    total: int = 0

    def add(self, occurrence: Occurrence) -> None:
        """Count one more."""
        decision = occurrence.decision
        self.total += 1
        self.schedules.add(occurrence.schedule_id)
        self.outcomes[decision.outcome] += 1
        if not decision.outcome.starts and decision.cause is not None:
            self.causes[decision.cause] += 1
        if occurrence.started_at is not None and occurrence.ended_at is not None:
            self.busy += occurrence.ended_at - occurrence.started_at


def simulate(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", show_default=False)],
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", metavar="SYNC/SCHEDULE", help="Only what this one would do."),
    ] = None,
    start: From = NOW,
    days: Annotated[int, typer.Option("--days", min=1, max=3660)] = 365,
    heat: Annotated[
        bool, typer.Option("--heat", help="When in the week it is busy; with --schedule, without.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help=f"Every firing, not the first {FIRST}.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every firing, as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a tenant's schedules would do: every firing, its decision, and when it would run."""
    if as_csv and (as_json or heat):
        raise typer.BadParameter("--csv is for firings, and not together with --json or --heat")
    with session() as opened, opened.catalog.begin() as db:
        foresight = foresee(db, tenant)
    chosen = None if schedule is None else find_foreseen(foresight, schedule)
    after = instant(start, chosen.simulated.timetable.zone if chosen else "UTC")
    span = Span(after=after, until=after + timedelta(days=days))
    if heat:
        heating.show(foresight, chosen, after=span.after, until=span.until, as_json=as_json)
        return
    played = _play(foresight, chosen, span)
    names = {one.simulated.timetable.id: one for one in foresight.schedules}
    if as_csv:
        _write_csv(played, names)
    elif as_json:
        _write_json(played, names, foresight, span)
    else:
        _show(played, names, foresight, span, every=every)


def _play(foresight: Foresight, chosen: Foreseen | None, span: Span) -> Iterator[Occurrence]:
    if chosen is None:
        return foresight.play(after=span.after, until=span.until)
    identity = chosen.simulated.timetable.id
    played = foresight.only_with(identity).play(after=span.after, until=span.until)
    return (occurrence for occurrence in played if occurrence.schedule_id == identity)


# --- for people ------------------------------------------------------------------


def _show(
    played: Iterator[Occurrence],
    names: Names,
    foresight: Foresight,
    span: Span,
    *,
    every: bool,
) -> None:
    """The first firings in a table, or all of them as they come; then what they add up to."""
    tally, first = Tally(), list[Occurrence]()
    for occurrence in played:
        tally.add(occurrence)
        if every:
            sys.stdout.write("  ".join(_row(occurrence, names)).rstrip() + "\n")
        elif len(first) < FIRST:
            first.append(occurrence)
    if not every:
        print_table(
            COLUMNS, [_row(one, names) for one in first], empty="nothing is due in that time"
        )
        if tally.total > FIRST:
            print_line(f"… and {tally.total - FIRST:,} more; --all, --csv or --json gives them")
    _sum_up(tally, foresight, span)


def _sum_up(tally: Tally, foresight: Foresight, span: Span) -> None:
    days = (span.until - span.after).days
    outcomes = ", ".join(f"{number:,} {_words(name)}" for name, number in tally.outcomes.items())
    print_line("")
    print_line(f"{days} days: {tally.total:,} firings{f': {outcomes}' if outcomes else ''}")
    if tally.causes:
        causes = ", ".join(f"{number:,} {_words(name)}" for name, number in tally.causes.items())
        print_line(f"did not run by cause: {causes}")
    print_line(f"busy {shown_duration(tally.busy)} in all")
    for one in foresight.schedules:
        if one.simulated.timetable.id in tally.schedules:
            print_line(f"{one.scheduled.key}: {_duration(one)}")


def _duration(one: Foreseen) -> str:
    lasts = f"an execution takes {shown_duration(one.simulated.duration)}"
    if not one.measured:
        return f"{lasts}: assumed, none has got through yet"
    return f"{lasts}: measured, the median of the last {one.measured}"


def _row(occurrence: Occurrence, names: Names) -> tuple[str, ...]:
    decision = occurrence.decision
    one = names[occurrence.schedule_id]
    zone = one.simulated.timetable.zone
    said = "" if decision.outcome is Outcome.RUN else decision.reason
    return (
        shown_local(decision.due_at, zone),
        one.scheduled.key.partition("/")[2],
        _words(decision.outcome),
        _ran(occurrence, zone),
        "; ".join(part for part in (said, occurrence.note) if part),
    )


def _ran(occurrence: Occurrence, zone: str) -> str:
    if occurrence.started_at is None or occurrence.ended_at is None:
        return ""
    local = find_zone(zone)
    start, end = occurrence.started_at.astimezone(local), occurrence.ended_at.astimezone(local)
    cut = ", cancelled" if occurrence.is_cancelled else ""
    return f"{start:%H:%M:%S} to {end:%H:%M:%S}{cut}"


def _words(name: str) -> str:
    return name.replace("_", " ")


# --- for programs ----------------------------------------------------------------

FIELDS = (
    *("schedule", "due_at", "local", "outcome", "cause", "reason", "note"),
    *("started_at", "ended_at", "is_cancelled"),
)


def _fields(occurrence: Occurrence, names: Names) -> Sequence[Json]:
    """The values of `FIELDS`, in their order."""
    decision = occurrence.decision
    one = names[occurrence.schedule_id]
    local = decision.due_at.astimezone(one.simulated.timetable.local)
    return (
        one.scheduled.key,
        json_time(decision.due_at),
        local.isoformat(),
        str(decision.outcome),
        None if decision.cause is None else str(decision.cause),
        decision.reason,
        occurrence.note,
        json_time(occurrence.started_at),
        json_time(occurrence.ended_at),
        occurrence.is_cancelled,
    )


def _write_csv(played: Iterator[Occurrence], names: Names) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows(_fields(occurrence, names) for occurrence in played)


def _write_json(
    played: Iterator[Occurrence], names: Names, foresight: Foresight, span: Span
) -> None:
    """One document, written as it comes about: a year of minutes is not held in memory."""
    tally = Tally()
    head = {
        "tenant": foresight.tenant,
        "from": json_time(span.after),
        "until": json_time(span.until),
        "durations": [
            {
                "schedule": one.scheduled.key,
                "seconds": one.simulated.duration.total_seconds(),
                "measured": one.measured,
            }
            for one in foresight.schedules
        ],
    }
    write = sys.stdout.write
    write(f'{json.dumps(head, ensure_ascii=False)[:-1]}, "firings": [')
    for number, occurrence in enumerate(played):
        tally.add(occurrence)
        values = dict(zip(FIELDS, _fields(occurrence, names), strict=True))
        line = json.dumps(values, ensure_ascii=False)
        write(f"{',' if number else ''}\n{line}")
    tail = {
        "outcomes": tally.outcomes,
        "causes": tally.causes,
        "busy_seconds": tally.busy.total_seconds(),
    }
    write(f"\n], {json.dumps(tail)[1:]}\n")
