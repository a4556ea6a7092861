"""Reads a schedule from a file: a cadence, its zone, and its rules for clock changes."""

from sync_pipelines.apply.document import Node, Scalar, Table, hidden_in, is_broken, plain
from sync_pipelines.apply.fields import NOT_A_WORD, WORD, Fields
from sync_pipelines.apply.manifest import WantedSchedule
from sync_pipelines.apply.problems import Problems
from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    CadenceError,
    ClockChange,
    Event,
    parse_cadence,
    parse_clock_change,
)
from sync_pipelines.timing.zones import find_zone

CADENCE = ("type", "every", "minutes", "minute", "at", "days", "cron")
SCHEDULE = (*CADENCE, "timezone", "clock_change", "is_active")


def read_schedule(name: str, node: Node, *, line: int, problems: Problems) -> WantedSchedule | None:
    """One schedule; None when something of it is wrong, which is then reported."""
    before = len(problems.found)
    if not WORD.fullmatch(name):
        problems.add(line, f"name {name!r} {NOT_A_WORD}")
    if not isinstance(node, Table):
        if not (isinstance(node, Scalar) and node.broken):
            problems.add(line, f"schedule {name!r} is wrong; write {{type: daily, at: '02:00'}}")
        return None
    fields = Fields(node, SCHEDULE, what="a schedule", problems=problems)
    cadence = _cadence(node, fields)
    zone = _zone(fields)
    rules = _rules(fields, problems)
    active = fields.flag("is_active")
    if cadence is None or len(problems.found) > before or is_broken(node):
        return None
    return WantedSchedule(
        name=name,
        line=line,
        cadence=cadence,
        timezone=zone,
        clock_change=rules,
        is_active=active,
    )


def _cadence(table: Table, fields: Fields) -> Cadence | None:
    written = {key: plain(table.entries[key]) for key in CADENCE if key in table.entries}
    if any(is_broken(table.entries[key]) for key in written):
        return None
    try:
        cadence = parse_cadence(written)
    except CadenceError as error:
        fields.wrong(error.field, str(error))
        return None
    if isinstance(cadence, Event | After | Adaptive):
        # They are understood, but the dispatcher does not drive them: such a schedule
        # would never fire, and nobody would be told.
        fields.wrong("type", f"type {str(cadence.schedule_type)!r} cannot be scheduled yet")
        return None
    return cadence


def _zone(fields: Fields) -> str:
    name = fields.text("timezone", right="an IANA zone, such as Europe/Berlin")
    if name is None:
        return "UTC"
    try:
        find_zone(name)
    except CadenceError as error:
        fields.wrong("timezone", str(error))
    return name


def _rules(fields: Fields, problems: Problems) -> ClockChange:
    node = fields.node("clock_change")
    if node is None or is_broken(node):
        return ClockChange()
    try:
        return parse_clock_change(plain(node))
    except CadenceError as error:
        lines = node.key_lines if isinstance(node, Table) else {}
        line = lines.get(error.field, node.line)
        problems.add(line, str(error), hide=hidden_in(node))
        return ClockChange()
