"""Reads a schedule from a file: a cadence, its zone, its rules for clock changes, its policies."""

from sync_pipelines.apply.document import Items, Node, Scalar, Table, hidden_in, is_broken, plain
from sync_pipelines.apply.fields import NOT_A_WORD, WORD, Fields
from sync_pipelines.apply.manifest import WantedSchedule
from sync_pipelines.apply.problems import Problems
from sync_pipelines.model.cadence import (
    Cadence,
    CadenceError,
    ClockChange,
    parse_cadence,
    parse_clock_change,
)
from sync_pipelines.model.condition import parse_condition
from sync_pipelines.model.policy import Policies, parse_policies
from sync_pipelines.timing.zones import find_zone

CADENCE = (
    "type",
    "every",
    "minutes",
    "minute",
    "at",
    "days",
    "cron",
    "trigger",
    "conditions",
    "sync",
    "least",
    "most",
)
POLICIES = (
    "overlap",
    "missed",
    "spread",
    "blackouts",
    "starts_at",
    "ends_at",
    "pause",
    "priority",
)
SCHEDULE = (*CADENCE, "timezone", "clock_change", *POLICIES, "is_active", "description")


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
    cadence = _cadence(node, fields, problems)
    zone = _zone(fields)
    rules = _rules(fields, problems)
    policies = _policies(fields, problems)
    active = fields.flag("is_active")
    description = fields.text("description")
    if cadence is None or len(problems.found) > before or is_broken(node):
        return None
    return WantedSchedule(
        name=name,
        line=line,
        description=description,
        cadence=cadence,
        timezone=zone,
        clock_change=rules,
        policies=policies,
        is_active=active,
    )


def _cadence(table: Table, fields: Fields, problems: Problems) -> Cadence | None:
    written = {key: plain(table.entries[key]) for key in CADENCE if key in table.entries}
    if any(is_broken(table.entries[key]) for key in written):
        return None
    try:
        return parse_cadence(written)
    except CadenceError as error:
        conditions = fields.node("conditions")
        if error.field != "conditions" or not isinstance(conditions, Items):
            fields.wrong(error.field, str(error))
        elif not _conditions_told(conditions, problems):
            fields.wrong("conditions", str(error))
    return None


def _conditions_told(conditions: Items, problems: Problems) -> bool:
    """Whether some of them are wrong, each of which is then reported."""
    before = len(problems.found)
    for number, node in enumerate(conditions.items, start=1):
        try:
            parse_condition(plain(node), number=number)
        except CadenceError as error:
            problems.add(node.line, str(error), hide=hidden_in(node))
    return len(problems.found) > before


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
        problems.add(_line_within(node, error.field), str(error), hide=hidden_in(node))
        return ClockChange()


def _policies(fields: Fields, problems: Problems) -> Policies:
    """Each is read by itself first, so that all that is wrong is told, and where."""
    before = len(problems.found)
    written = {}
    for key in POLICIES:
        node = fields.node(key)
        if node is None or is_broken(node):
            continue
        written[key] = plain(node)
        for part in node.items if isinstance(node, Items) else (node,):
            try:
                parse_policies({key: plain(part)})
            except CadenceError as error:
                problems.add(_line_within(part, error.field), str(error), hide=hidden_in(part))
    if len(problems.found) > before:
        return Policies()
    try:
        return parse_policies(written)
    except CadenceError as error:
        fields.wrong(error.field, str(error))
        return Policies()


def _line_within(node: Node, key: str) -> int:
    """Where a key of a mapping stands, or else the whole."""
    return node.key_lines.get(key, node.line) if isinstance(node, Table) else node.line
