"""Signs of life: whether the parts that dispatch do so, and what to say if they do not.

A dispatcher's turn leaves its heartbeat when it is done. None for long means that the
daemon, or the code server that it asks, is dead; schedules that are overdue while
others live mean that one dispatcher is stopped, or fails.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection as Db

from connectors import registry
from sync_pipelines.catalog import heartbeats, incidents, rounds
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.rounds import Overdue

LATE = timedelta(seconds=90)
"""Silence for so long is an alarm; found by looks every half minute, within two minutes."""

DISPATCH_EVENTS = "dispatch_events"
WATCH = "watch"
DAEMON = "daemon"

_NEVER = datetime.min.replace(tzinfo=UTC)
_KINDS = (Kind.DEAD_DAEMON, Kind.STALLED_DISPATCHER)


def due_dispatcher(connector: str) -> str:
    """What the dispatcher of a connector's schedules is called, in Dagster and everywhere."""
    return f"due_{connector}_syncs"


def note_signs(db: Db, now: datetime, *, awake_since: datetime) -> tuple[Alarm, ...]:
    """Open, keep or resolve the incidents of dispatchers; those that are on now.

    ``awake_since`` is since when the caller has been looking without a pause: silence
    before that is no news, unless it has been told already.
    """
    told = {kind: incidents.open_subjects_for_all_tenants(db, kind) for kind in _KINDS}
    alarms = tuple(
        alarm
        for alarm, since in _silences(db, now, is_back=bool(told[Kind.DEAD_DAEMON]))
        if now - (since if alarm.subject in told[alarm.kind] else max(since, awake_since)) > LATE
    )
    for alarm in alarms:
        incidents.raise_incident(db, alarm, now=now)
    still = {(alarm.kind, alarm.subject) for alarm in alarms}
    for kind, subjects in told.items():
        for subject in subjects:
            if (kind, subject) not in still:
                incidents.resolve(db, kind, subject, now=now)
    return alarms


def signs(db: Db, now: datetime) -> tuple[Alarm, ...]:
    """What a look at the signs of life would find wrong; nothing is recorded."""
    return tuple(alarm for alarm, since in _silences(db, now, is_back=False) if now - since > LATE)


def _silences(db: Db, now: datetime, *, is_back: bool) -> Iterator[tuple[Alarm, datetime]]:
    """What is wrong if it lasts, and since when.

    ``is_back``: the daemon was dead a look ago; if it lives, its sensors have not all
    had their turn yet.
    """
    beats = heartbeats.read_all(db)
    parts = (DISPATCH_EVENTS, WATCH, *(due_dispatcher(name) for name in registry.names()))
    last = {name: beats[name].at if name in beats else _NEVER for name in parts}
    newest = max(last.values())
    yield _dead(newest), newest
    # What fell silent with all others is told once, of the daemon.
    is_alive = now - newest <= LATE and not is_back
    for name in (DISPATCH_EVENTS, WATCH):
        if is_alive and newest - last[name] > LATE:
            yield _stopped(name, last[name]), last[name]
    for overdue in rounds.overdue_for_all_tenants(db, before=now - LATE):
        yield _overdue(overdue), overdue.since


def _dead(newest: datetime) -> Alarm:
    return Alarm(
        kind=Kind.DEAD_DAEMON,
        subject=DAEMON,
        message=f"nothing has been dispatched {_since(newest)}: Dagster's daemon, or the code "
        "server that it asks, gives no sign of life",
        remedy="start it again (`sync-pipelines up` does so by itself, and its logs say why it "
        "ended); what falls due meanwhile is caught up by each schedule's policy",
        details={} if newest == _NEVER else {"since": newest.isoformat()},
    )


def _stopped(name: str, at: datetime) -> Alarm:
    return Alarm(
        kind=Kind.STALLED_DISPATCHER,
        subject=name,
        message=f"sensor {name} has done nothing {_since(at)}, though the daemon lives",
        remedy=f"in Dagster, under Automation, start {name}, or look at why its ticks fail",
        details={} if at == _NEVER else {"since": at.isoformat()},
    )


def _overdue(overdue: Overdue) -> Alarm:
    name = due_dispatcher(overdue.connector)
    which = "schedule is" if overdue.number == 1 else "schedules are"
    return Alarm(
        kind=Kind.STALLED_DISPATCHER,
        subject=name,
        message=f"{overdue.number} {overdue.connector} {which} overdue, the first "
        f"{_since(overdue.since)}",
        remedy=f"if the daemon is down, start it; else, in Dagster, under Automation, start "
        f"{name}, or look at why its ticks fail. What fell due is caught up by each schedule's "
        "policy",
        details={"schedules": overdue.number, "since": overdue.since.isoformat()},
    )


def _since(at: datetime) -> str:
    return "so far" if at == _NEVER else f"since {at:%Y-%m-%d %H:%M:%S} UTC"
