"""What a message says to people: which sync, when, what failed, what it means for the data,
what happens next, and one link. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync_pipelines.model.notification import Severity, Topic
from sync_pipelines.notify.payloads import instant
from sync_pipelines.notify.sending import Outgoing
from sync_pipelines.timing.zones import find_zone

BADGES = {
    Topic.SUCCESS: "Completed",
    Topic.WARNING: "Warning",
    Topic.FAILURE: "Failed",
    Topic.FIRST_FAILURE: "Failed",
    Topic.RECOVERED: "Works again",
    Topic.ESCALATED: "Keeps failing",
    Topic.REMINDER: "Still open",
    Topic.PAUSED: "Left alone",
    Topic.LATE: "Late",
    Topic.STALE: "Out of date",
    Topic.ALERT: "Alert",
    Topic.RETRYING: "Tried again",
    Topic.SCHEMA_CHANGE: "Columns changed",
    Topic.DIGEST: "Digest",
    Topic.TEST: "Test",
}

GOOD = (Topic.SUCCESS, Topic.RECOVERED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded:
    """A message in words. ``facts`` are labelled sentences; ``link`` is where more is to see.

    ``badge`` says in a word or two how things stand; the fact labelled ``stressed`` comes
    first and is set apart where there is layout.
    """

    subject: str
    badge: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    link_label: str
    link: str
    severity: Severity
    stressed: str = ""

    def as_text(self) -> str:
        """All of it as plain text."""
        lines = [f"{label}: {said}" for label, said in self.facts]
        return "\n".join([self.headline, "", *lines, "", f"{self.link_label}: {self.link}"])


def worded(message: Outgoing) -> Worded:
    """A message in words, with times on the clocks of its reader."""
    payload = message.payload
    happened = "What failed" if payload.get("error") else "What happened"
    facts = [
        fact
        for fact in (
            (happened, _what(payload)),
            ("When", _when(message)),
            ("Affected", _affected(payload)),
            ("Your data", _effect(message)),
            ("What helps", _helps(message)),
            ("What happens next", _next(message)),
        )
        if fact[1]
    ]
    headline = _headline(message)
    is_good = message.topic in GOOD
    return Worded(
        subject=f"[{payload['tenant']}] {headline}",
        badge=BADGES.get(message.topic, "News"),
        headline=headline,
        facts=tuple(facts),
        link_label=_link_label(payload),
        link=message.url,
        severity=Severity.INFO if is_good else Severity(payload["severity"]),
        stressed="" if is_good else happened,
    )


def _link_label(payload: Mapping[str, Any]) -> str:
    if "sync" not in payload:
        return "See all incidents"
    is_alone = payload.get("incident", {}).get("syncs", 0) < 2
    return "Open the sync" if is_alone else f"Open {payload['sync']['name']}"


def _headline(message: Outgoing) -> str:
    payload = message.payload
    name = payload.get("sync", {}).get("name", "")
    more = payload.get("incident", {}).get("syncs", 0)
    connection = payload.get("sync", {}).get("connection", "")
    match message.topic:
        case Topic.FAILURE | Topic.WARNING | Topic.REMINDER | Topic.ESCALATED if more > 1:
            still = {Topic.REMINDER: "still failing", Topic.ESCALATED: "failing on and on"}
            how = still.get(message.topic, "failing")
            at = f" on {connection}" if connection else ""
            return f"1 cause, {more} syncs {how}{at}"
        case Topic.FAILURE:
            return f"{name} failed"
        case Topic.FIRST_FAILURE:
            return f"{name} failed for the first time in a while"
        case Topic.ESCALATED:
            return f"{name} fails on and on"
        case Topic.WARNING if name:
            return f"{name} got through only in part"
        case Topic.SUCCESS:
            return f"{name} completed"
        case Topic.RECOVERED if not name:
            return f"Over: {_first_line(payload)}"
        case Topic.RECOVERED:
            return f"{name} works again"
        case Topic.PAUSED:
            return f"{name} is left alone for a while: it kept failing"
        case Topic.TEST:
            return "This is a test"
        case Topic.REMINDER:
            return f"Still so: {_first_line(payload)}"
    return _first_line(payload)


def _first_line(payload: Mapping[str, Any]) -> str:
    usual = payload.get("incident", payload).get("message", "something is wrong")
    said = str(payload.get("headline") or usual)
    return f"{said[0].upper()}{said[1:]}" if said else said


def _when(message: Outgoing) -> str:
    at = instant(message.payload, "occurred_at")
    if at is None:
        return ""
    wall = at.astimezone(find_zone(message.zone))
    return f"{wall:%A}, {wall.day} {wall:%B %Y, %H:%M} ({message.zone})"


def _what(payload: Mapping[str, Any]) -> str:
    error, counts = payload.get("error"), payload.get("counts")
    if "schema_changes" in payload:
        return str(payload["message"])
    if error:
        # Of many syncs, these streams are only one's.
        is_alone = payload.get("incident", {}).get("syncs", 0) < 2
        streams = f" (in {', '.join(error['streams'])})" if error["streams"] and is_alone else ""
        return f"{error['message']}{streams}"
    if counts and not counts["processed"]:
        return "It ran fine; there was nothing new."
    if counts:
        changed = f"{counts['created']:,} created, {counts['updated']:,} updated"
        rejected = f", {counts['rejected']:,} rejected" if counts["rejected"] else ""
        return f"{_number(counts['processed'], 'record')}: {changed}{rejected}."
    return str(payload.get("message") or payload.get("incident", {}).get("message", ""))


def _affected(payload: Mapping[str, Any]) -> str:
    incident = payload.get("incident", {})
    names, number = incident.get("affected", []), incident.get("syncs", 0)
    if number < 2:
        return ""
    left = f" and {number - len(names)} more" if number > len(names) else ""
    return f"{', '.join(names)}{left}"


def _effect(message: Outgoing) -> str:
    if "execution" not in message.payload:
        return ""
    if message.topic in GOOD:
        return f"Up to date {_shown(message, 'occurred_at')}."
    if message.payload.get("incident", {}).get("syncs", 0) > 1:
        return "Each keeps the data it had. What has not come through yet is not lost."
    good = _shown(message, "last_good_at")
    if not good:
        return "This sync has never got through yet."
    return f"Last good {good}. What has not come through since is not lost."


def _helps(message: Outgoing) -> str:
    if message.topic in GOOD:
        return ""
    return str(message.payload.get("incident", {}).get("remedy", ""))


def _next(message: Outgoing) -> str:
    if "execution" not in message.payload:
        return ""
    coming = _coming(message)
    if message.topic is Topic.PAUSED:
        if not coming:
            return "It waits until somebody resumes it."
        probed = "It is tried now and then, and goes on by itself once that succeeds."
        return f"{probed} You can also start it yourself."
    if message.topic in GOOD:
        return f"It runs again {coming}." if coming else ""
    told = " You hear when it works." if Topic.RECOVERED in message.rule.topics else ""
    if message.payload.get("incident", {}).get("syncs", 0) > 1:
        return f"Each is tried again when it is due, and goes on where it stopped.{told}"
    if not coming:
        return "Nothing by itself: start it when the cause is gone."
    return f"It is tried again {coming}, and goes on where it stopped.{told}"


def _coming(message: Outgoing) -> str:
    """When it runs next; what is overdue as this is told, a dispatcher is about to start."""
    at = instant(message.payload, "next_run_at")
    occurred = instant(message.payload, "occurred_at")
    if at is not None and occurred is not None and at <= occurred:
        return "in a moment"
    return _shown(message, "next_run_at")


def _shown(message: Outgoing, name: str) -> str:
    """An instant beside that of the message: with its day only if that is another."""
    at = instant(message.payload, name)
    if at is None:
        return ""
    zone = find_zone(message.zone)
    wall = at.astimezone(zone)
    occurred = instant(message.payload, "occurred_at")
    if occurred is not None and occurred.astimezone(zone).date() == wall.date():
        return f"at {wall:%H:%M}"
    year = f" {wall:%Y}" if occurred is None or occurred.year != wall.year else ""
    return f"on {wall:%A}, {wall.day} {wall:%B}{year}, at {wall:%H:%M}"


def _number(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
