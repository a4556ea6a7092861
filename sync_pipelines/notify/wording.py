"""What a message says to people: which sync, when, what failed, what it means for the data,
what happens next, and one link. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync_pipelines.model.notification import Severity, Topic
from sync_pipelines.notify.payloads import instant
from sync_pipelines.notify.sending import Outgoing
from sync_pipelines.timing.zones import find_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded:
    """A message in words. ``facts`` are labelled sentences; ``link`` is where more is to see."""

    subject: str
    headline: str
    facts: tuple[tuple[str, str], ...]
    link_label: str
    link: str
    severity: Severity

    def as_text(self) -> str:
        """All of it as plain text."""
        lines = [f"{label}: {said}" for label, said in self.facts]
        return "\n".join([self.headline, "", *lines, "", f"{self.link_label}: {self.link}"])


def worded(message: Outgoing) -> Worded:
    """A message in words, with times on the clocks of its reader."""
    payload = message.payload
    facts = [
        fact
        for fact in (
            ("When", _shown(instant(payload, "occurred_at"), message.zone)),
            ("What happened", _what(payload)),
            ("Affected", _affected(payload)),
            ("Your data", _effect(message)),
            ("What helps", _helps(message)),
            ("What happens next", _next(message)),
        )
        if fact[1]
    ]
    headline = _headline(message)
    return Worded(
        subject=f"[{payload['tenant']}] {headline}",
        headline=headline,
        facts=tuple(facts),
        link_label="Open the sync" if "sync" in payload else "See all incidents",
        link=message.url,
        severity=Severity(payload["severity"]),
    )


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
    usual = payload.get("incident", {}).get("message", "something is wrong")
    said = str(payload.get("headline") or usual)
    return f"{said[0].upper()}{said[1:]}" if said else said


def _what(payload: Mapping[str, Any]) -> str:
    error, counts = payload.get("error"), payload.get("counts")
    if "schema_changes" in payload:
        return str(payload["message"])
    if error:
        streams = f" (in {', '.join(error['streams'])})" if error["streams"] else ""
        return f"{error['message']}{streams}"
    if counts:
        changed = f"{counts['created']:,} created, {counts['updated']:,} updated"
        rejected = f", {counts['rejected']:,} rejected" if counts["rejected"] else ""
        return f"{counts['processed']:,} records: {changed}{rejected}"
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
    if message.topic is Topic.SUCCESS or message.topic is Topic.RECOVERED:
        at = instant(message.payload, "occurred_at")
        return f"good as of {_shown(at, message.zone)}"
    good = _shown(instant(message.payload, "last_good_at"), message.zone)
    if not good:
        return "this sync has never got through yet"
    return f"last good {good}; what has not come through yet is not lost"


def _helps(message: Outgoing) -> str:
    if message.topic in (Topic.SUCCESS, Topic.RECOVERED):
        return ""
    return str(message.payload.get("incident", {}).get("remedy", ""))


def _next(message: Outgoing) -> str:
    if "execution" not in message.payload:
        return ""
    coming = _shown(instant(message.payload, "next_run_at"), message.zone)
    if message.topic is Topic.PAUSED:
        after = "it is probed now and then, and goes on by itself once that succeeds"
        return f"{after}; you can also start it yourself" if coming else "it waits to be resumed"
    if not coming:
        return "nothing by itself: start it yourself when the cause is gone"
    if message.topic in (Topic.SUCCESS, Topic.RECOVERED):
        return f"it runs again {coming}"
    return f"it is tried again {coming}, and goes on where it stopped; you hear when it works"


def _shown(at: datetime | None, zone: str) -> str:
    if at is None:
        return ""
    wall = at.astimezone(find_zone(zone))
    return f"{wall:%A, %d %B, %H:%M} ({zone})"
