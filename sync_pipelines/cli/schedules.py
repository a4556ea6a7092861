"""``schedules``: what is there and what is to come of it; pausing, resuming, removing."""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer
from sqlalchemy import Connection as Db

from connectors.contract import Json
from connectors.errors import ConfigError
from sync_pipelines.apply.describe import described_schedule
from sync_pipelines.catalog import audit
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.scheduled import Scheduled, find_scheduled, scheduled_of_tenant
from sync_pipelines.catalog.schedules import split_schedule_key
from sync_pipelines.cli import explaining, previewing, simulating
from sync_pipelines.cli.conflicts import tell_conflicts
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import json_time, print_json, print_line, print_table, tell
from sync_pipelines.cli.times import Until, instant, shown_soon
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import steering
from sync_pipelines.engine.answers import moment
from sync_pipelines.engine.conflicts import review_resumed
from sync_pipelines.engine.standing import State, standing_of
from sync_pipelines.model.policy import Pause, Priority
from sync_pipelines.timing.words import sentence

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="When syncs run: ask, pause, resume, remove."
)
app.command()(explaining.explain)
app.command()(previewing.preview)
app.command()(simulating.simulate)

COLUMNS = ("schedule", "when", "next run", "last run", "state")


def _schedule_key(value: str) -> str:
    try:
        split_schedule_key(value)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    return value


ScheduleKey = Annotated[
    str,
    typer.Argument(metavar="TENANT/SYNC/SCHEDULE", callback=_schedule_key, show_default=False),
]
Tenant = Annotated[str, typer.Argument(metavar="TENANT", show_default=False)]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever finds it paused.")
]


@app.command("list")
def list_(tenant: Tenant, as_json: AsJson = False) -> None:
    """A tenant's schedules: when they run, how they stand, what comes next."""
    with session() as opened, opened.catalog.begin() as db:
        found = scheduled_of_tenant(db, tenant)
    if as_json:
        print_json([_json(one) for one in found])
        return
    empty = f"{tenant} has no schedules; a manifest's `schedules:` makes some"
    print_table(COLUMNS, [_row(one) for one in found], empty=empty)
    for one in found:
        if (learned := one.schedule.learned) is not None:
            since = moment(learned.since, one.schedule.timezone)
            print_line(f"{one.key}: since {since}: {learned.reason}")


@app.command()
def pause(
    schedule: ScheduleKey, reason: Reason, until: Until = None, as_json: AsJson = False
) -> None:
    """Let a schedule start nothing, until it is resumed or a time has come."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        held = _held(db, schedule)
        zone = held.schedule.timezone
        wanted = Pause(reason=reason, until=None if until is None else instant(until, zone))
        if wanted.until is not None and wanted.until <= now:
            raise ConfigError(f"--until {until} has passed already; name a time to come")
        standing = standing_of(held, now)
        is_paused = held.sync.pause is None and standing.state is State.PAUSED
        if is_paused or not held.schedule.is_active:
            _tell(held, f"is paused already; nothing was changed: {standing.said}", as_json, False)
            return
        steering.pause_schedule(db, held.schedule, wanted, now=now)
        after = find_scheduled(db, schedule)
        _audit(db, "schedule.paused", held, after)
    _tell(after, f"is {standing_of(after, now).said}{_next(after)}", as_json, True)


@app.command()
def resume(schedule: ScheduleKey, as_json: AsJson = False) -> None:
    """Let a schedule start its sync again, from its next instant on."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        held = _held(db, schedule)
        if held.schedule.is_active and not _is_paused(held):
            _tell(held, f"is not paused; nothing was changed{_elsewhere(held)}", as_json, False)
            return
        steering.resume_schedule(db, held.schedule, now=now)
        after = find_scheduled(db, schedule)
        _audit(db, "schedule.resumed", held, after)
        examined = review_resumed(opened.catalog, db, schedule.partition("/")[0], now=now)
    tell_conflicts(examined, schedule)
    _tell(after, f"is resumed{_elsewhere(after)}{_next(after)}", as_json, True)


@app.command()
def delete(
    schedule: ScheduleKey,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a schedule. What it has started and decided stays in the history."""
    now = system_clock()
    with session() as opened:
        with opened.catalog.begin() as db:
            there = find_scheduled(db, schedule)
        words = sentence(there.schedule.cadence, there.schedule.timezone)
        if not yes:
            _confirm(f"Remove {schedule} ({words})? Its history stays.")
        with opened.catalog.begin() as db:
            held = _held(db, schedule)
            steering.remove_schedule(db, held.schedule, now=now)
            _audit(db, "schedule.deleted", held, None)
    _tell(held, "is removed; what it has started and decided stays in the history", as_json, True)


def _confirm(question: str) -> None:
    """Ask; who says no, or says nothing, aborts. `ConfigError` where nobody can be asked."""
    try:
        typer.confirm(question, abort=True, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        tell("")
        raise ConfigError("nothing was removed: without a terminal, say --yes") from None


def _held(db: Db, key: str) -> Scheduled:
    """The schedule as it stands, which nobody else changes until the transaction ends."""
    lock_armed_for_all_tenants(db, [find_scheduled(db, key).schedule.id])
    return find_scheduled(db, key)


def _is_paused(held: Scheduled) -> bool:
    """Whether the schedule itself is paused, its sync aside."""
    found = held.schedule.policies.pause
    return found is not None and (found.until is None or found.until > system_clock())


def _elsewhere(scheduled: Scheduled) -> str:
    """That the sync as a whole is paused, and what to do about it."""
    if scheduled.sync.pause is None:
        return ""
    key = scheduled.sync.key
    return (
        f"; but its sync is paused: {scheduled.sync.pause}; `sync-pipelines syncs resume {key}`"
        " resumes that"
    )


def _next(scheduled: Scheduled) -> str:
    at = scheduled.schedule.next_run_at
    return "" if at is None else f"; next run {moment(at, scheduled.schedule.timezone)}"


def _audit(db: Db, action: str, before: Scheduled, after: Scheduled | None) -> None:
    audit.record(
        db,
        at=system_clock(),
        actor=actor(),
        action=action,
        subject=before.key,
        tenant_id=before.schedule.tenant_id,
        before=_described(before),
        after=None if after is None else _described(after),
    )


def _described(scheduled: Scheduled) -> Mapping[str, Json]:
    return dict(described_schedule(scheduled.schedule))


def _tell(scheduled: Scheduled, said: str, as_json: bool, changed: bool) -> None:
    if as_json:
        print_json({"changed": changed, "said": said, **_json(scheduled)})
    else:
        print_line(f"{scheduled.key} {said}")


def _row(scheduled: Scheduled) -> tuple[str, ...]:
    schedule = scheduled.schedule
    standing = standing_of(scheduled, system_clock())
    waits = standing.state in (State.WAITING, State.MANUAL)  # the sentence says for what
    state = str(standing.state) if waits else standing.said
    if schedule.policies.priority is not Priority.NORMAL:
        state += f", {schedule.policies.priority} priority"
    return (
        scheduled.key.partition("/")[2],
        sentence(schedule.cadence, schedule.timezone),
        shown_soon(schedule.next_run_at, schedule.timezone),
        shown_soon(schedule.last_run_at, schedule.timezone),
        state,
    )


def _json(scheduled: Scheduled) -> dict[str, Json]:
    schedule, learned = scheduled.schedule, scheduled.schedule.learned
    standing = standing_of(scheduled, system_clock())
    return {
        "schedule": scheduled.key,
        "sentence": sentence(schedule.cadence, schedule.timezone),
        **described_schedule(schedule),
        "priority": str(schedule.policies.priority),
        "state": str(standing.state),
        "reason": standing.said,
        "next_run_at": json_time(schedule.next_run_at),
        "last_run_at": json_time(schedule.last_run_at),
        "decided_until": json_time(schedule.decided_until),
        "learned": None
        if learned is None
        else {
            "minutes": learned.minutes,
            "since": json_time(learned.since),
            "reason": learned.reason,
        },
    }
