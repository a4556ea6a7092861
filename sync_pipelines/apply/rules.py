"""Reads from a file who is told of what, and where alerts begin.

Law: a rule that is read could be delivered, but for where its URL leads: that is looked at
when it is stored.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import time, timedelta
from typing import Any
from uuid import UUID

from connectors.errors import ConfigError
from sync_pipelines.apply.document import Node, Table, hidden_in, is_broken, plain
from sync_pipelines.apply.fields import NOT_A_WORD, WORD, Fields
from sync_pipelines.apply.manifest import WantedAlerts, WantedRule
from sync_pipelines.apply.problems import Problems, nearest
from sync_pipelines.catalog.rule_codec import AT_A_URL
from sync_pipelines.catalog.users import read_email
from sync_pipelines.model.notification import (
    SHORTEST_REMINDER,
    Channel,
    DigestTime,
    Every,
    QuietHours,
    Rule,
    Scope,
    Topic,
)
from sync_pipelines.model.wall import CadenceError, read_time, read_weekday
from sync_pipelines.notify.thresholds import USUAL, Measure, Threshold
from sync_pipelines.timing.zones import find_zone

ABOUT = ("sync", "schedule", "tag")
RULE = (
    "channel",
    "topics",
    "recipients",
    "url",
    *ABOUT,
    "quiet_hours",
    "digest",
    "escalate_after",
    "remind_after",
    "is_active",
)
QUIET = ("from", "to", "timezone")
DIGEST = ("every", "at", "weekday", "timezone", "when_empty")
THRESHOLD = ("opens", "closes")
MEASURES = tuple(str(measure) for measure in Measure)
TOPICS = tuple(str(topic) for topic in Topic if topic is not Topic.TEST)

MOST_FAILURES = 1_000_000
NOBODY = UUID(int=0)
"""Stands for ids that the catalog will give."""


def read_rules(found: Mapping[str, Fields], problems: Problems) -> Iterator[WantedRule]:
    """The rules of a file, those that are sound; what is wrong with others is reported."""
    for name, fields in found.items():
        rule = _rule(name, fields, problems)
        if rule is not None:
            yield rule


def made_rule(wanted: WantedRule, *, url: str | None = None) -> Rule:
    """The rule as the model has it, with stand-ins for its ids; `ConfigError` if it is none.

    ``url`` is what it sends to, where the file leaves that as it is.
    """
    target = wanted.url or url or ""
    return Rule(
        id=NOBODY,
        tenant_id=NOBODY,
        name=wanted.name,
        channel=wanted.channel,
        scope=_scope(wanted),
        sync_id=NOBODY if wanted.sync else None,
        schedule_id=NOBODY if wanted.schedule else None,
        tag=wanted.tag,
        topics=wanted.topics,
        recipients=wanted.recipients,
        targets=(target,) if wanted.channel in AT_A_URL else (),
        quiet=wanted.quiet,
        digest=wanted.digest,
        escalate_after=wanted.escalate_after,
        remind_after=wanted.remind_after,
        is_active=wanted.is_active is not False,
    )


def read_alerts(table: Table | None, problems: Problems) -> WantedAlerts | None:
    """Where alerts begin and end; None where nothing is written."""
    if table is None:
        return None
    fields = Fields(table, MEASURES, what="alerts", problems=problems)
    found: dict[Measure, Threshold | None] = {}
    for measure in Measure:
        node = fields.node(measure)
        if node is None or is_broken(node):
            continue
        if plain(node) is False:
            found[measure] = None
            continue
        threshold = _threshold(measure, fields)
        if threshold is not None:
            found[measure] = threshold
    return WantedAlerts(line=table.line, thresholds=found)


def read_tags(fields: Fields) -> tuple[str, ...]:
    """The words by which a tenant sorts its syncs."""
    found = fields.texts("tags") or ()
    for tag in found:
        if not WORD.fullmatch(tag):
            fields.wrong("tags", f"tag {tag!r} {NOT_A_WORD}")
    return found


def _rule(name: str, fields: Fields, problems: Problems) -> WantedRule | None:
    before = len(problems.found)
    channel = _channel(fields)
    recipients = _recipients(fields)
    url = fields.text("url", right="where to send to, such as https://example.com/hooks")
    numbers: dict[str, Any] = {
        "escalate_after": fields.number("escalate_after", least=1, most=MOST_FAILURES, whole=True),
        "remind_after": _remind_after(fields),
        "topics": _topics(fields),
        "digest": _digest(fields),
    }
    about = _about(fields)
    quiet = _quiet(fields)
    active = fields.flag("is_active")
    if channel is None or len(problems.found) > before:
        return None
    _check_target(fields, channel, recipients, url)
    if len(problems.found) > before:
        return None
    wanted = WantedRule(
        name=name,
        line=fields.table.line,
        channel=channel,
        recipients=recipients,
        url=url,
        quiet=quiet,
        is_active=active,
        lines=fields.table.key_lines,
        hidden=hidden_in(fields.table),
        **about,
    )
    wanted = replace(wanted, **{key: one for key, one in numbers.items() if one is not None})
    try:
        made_rule(wanted)
    except ConfigError as error:
        problems.add(fields.table.line, str(error), hide=wanted.hidden)
        return None
    return wanted


def _channel(fields: Fields) -> Channel | None:
    if fields.node("channel") is not None:
        return fields.choice("channel", Channel)
    known = ", ".join(Channel)
    fields.text("channel", right=f"one of {known}", required=True)
    return None


def _recipients(fields: Fields) -> tuple[str, ...]:
    found = []
    for written in fields.texts("recipients") or ():
        try:
            found.append(read_email(written))
        except ConfigError as error:
            fields.wrong("recipients", str(error))
    return tuple(dict.fromkeys(found))


def _check_target(
    fields: Fields, channel: Channel, recipients: tuple[str, ...], url: str | None
) -> None:
    if channel in AT_A_URL and recipients:
        fields.wrong("recipients", f"{channel} sends to a url; leave recipients out")
    if channel not in AT_A_URL and url is not None:
        fields.wrong("url", f"{channel} sends to recipients; leave url out")


def _topics(fields: Fields) -> tuple[Topic, ...] | None:
    written = fields.texts("topics")
    for one in written or ():
        if one not in TOPICS:
            hint = nearest(one, TOPICS, what="there are")
            fields.wrong("topics", f"topics has {one!r}, which is none; {hint}")
            return None
    return tuple(Topic(one) for one in written) if written else None


def _about(fields: Fields) -> dict[str, Any]:
    said = {key: fields.text(key) for key in ABOUT}
    found = {key: one for key, one in said.items() if one is not None}
    if len(found) > 1:
        fields.wrong(list(found)[1], f"a rule is about one of {', '.join(found)}; leave out others")
    schedule = found.get("schedule")
    if schedule is not None and schedule.count("/") != 1:
        fields.wrong("schedule", f"schedule {schedule!r} is wrong; write SYNC/SCHEDULE")
    tag = found.get("tag")
    if tag is not None and not WORD.fullmatch(tag):
        fields.wrong("tag", f"tag {tag!r} {NOT_A_WORD}")
    return found


def _scope(wanted: WantedRule) -> Scope:
    if wanted.sync:
        return Scope.SYNC
    if wanted.schedule:
        return Scope.SCHEDULE
    return Scope.TAG if wanted.tag else Scope.TENANT


def _quiet(fields: Fields) -> QuietHours | None:
    inner = fields.fields("quiet_hours", QUIET, what="quiet_hours")
    if inner is None:
        return None
    start, end, zone = _time(inner, "from"), _time(inner, "to"), _zone(inner)
    for key in ("from", "to"):
        if inner.node(key) is None:
            inner.wrong(key, f"quiet_hours needs {key}: a time of day such as '22:00'")
    if start is None or end is None:
        return None
    try:
        return QuietHours(start=start, end=end, timezone=zone)
    except ConfigError as error:
        inner.wrong("from", str(error))
        return None


def _digest(fields: Fields) -> DigestTime | None:
    inner = fields.fields("digest", DIGEST, what="digest")
    if inner is None:
        return None
    chosen: dict[str, Any] = {
        "every": inner.choice("every", Every),
        "at": _time(inner, "at"),
        "weekday": _weekday(inner),
        "timezone": _zone(inner),
        "when_empty": inner.flag("when_empty"),
    }
    return DigestTime(**{key: one for key, one in chosen.items() if one is not None})


def _remind_after(fields: Fields) -> timedelta | None:
    found = fields.duration("remind_after")
    if found is not None and found < SHORTEST_REMINDER:
        fields.wrong("remind_after", "remind_after is too short; write 1h or more")
        return None
    return found


def _time(fields: Fields, key: str) -> time | None:
    found: time | None = _read(fields, key, lambda value: read_time(value, key))
    return found


def _weekday(fields: Fields) -> int | None:
    found = _read(fields, "weekday", read_weekday)
    return None if found is None else found.iso


def _zone(fields: Fields) -> str:
    name = fields.text("timezone", right="an IANA zone, such as Europe/Berlin")
    _read(fields, "timezone", lambda _: None if name is None else find_zone(name))
    return name or "UTC"


def _read(fields: Fields, key: str, read: Any) -> Any:
    """A key's value as it is read; what is wrong with it is reported."""
    node: Node | None = fields.node(key)
    if node is None or is_broken(node):
        return None
    try:
        return read(plain(node))
    except CadenceError as error:
        fields.wrong(key, error.message)
        return None


def _threshold(measure: Measure, fields: Fields) -> Threshold | None:
    inner = fields.fields(measure, THRESHOLD, what=str(measure))
    if inner is None:
        return None
    opens = inner.number("opens", least=0.000_001, most=1e9)
    closes = inner.number("closes", least=0.000_001, most=1e9)
    if opens is None:
        if inner.node("opens") is None:
            inner.wrong("opens", f"{measure} needs opens: the number from which on it is an alert")
        return None
    usual = USUAL[measure]
    try:
        return Threshold(opens, closes or opens * usual.closes / usual.opens)
    except ValueError as error:
        inner.wrong("closes", str(error))
        return None
