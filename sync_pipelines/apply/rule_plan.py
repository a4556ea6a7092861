"""What a file changes in a tenant's rules and alerts. Pure.

Law: a rule's URL is a secret. That it changes is told, what it is is not.
"""

from collections.abc import Iterator, Mapping

from connectors.contract import Json
from sync_pipelines.apply.changes import Change, Kind, PutAlerts, PutRule
from sync_pipelines.apply.current import Current
from sync_pipelines.apply.describe import Described, FieldChange, differences
from sync_pipelines.apply.manifest import Manifest, WantedRule
from sync_pipelines.apply.problems import Problem, nearest, redacted
from sync_pipelines.apply.rules import made_rule
from sync_pipelines.apply.words import duration_in_words
from sync_pipelines.catalog.notifications import RuleListed
from sync_pipelines.catalog.rule_codec import AT_A_URL
from sync_pipelines.model.notification import DigestTime, QuietHours, Rule
from sync_pipelines.model.wall import Weekday
from sync_pipelines.notify.thresholds import thresholds_to_json


def spelled_rule(rule: Rule, *, sync: str | None, schedule: str | None) -> Mapping[str, Json]:
    """A rule as a file has it, without its name and its URL."""
    return {
        "channel": str(rule.channel),
        "topics": [str(topic) for topic in rule.topics],
        "recipients": list(rule.recipients),
        "sync": sync,
        "schedule": schedule,
        "tag": rule.tag,
        "quiet_hours": spelled_quiet(rule.quiet),
        "digest": spelled_digest(rule.digest),
        "escalate_after": rule.escalate_after,
        "remind_after": duration_in_words(rule.remind_after.total_seconds()),
        "is_active": rule.is_active,
    }


def spelled_quiet(quiet: QuietHours | None) -> dict[str, Json] | None:
    """Quiet hours as a file has them."""
    if quiet is None:
        return None
    return {
        "from": f"{quiet.start:%H:%M}",
        "to": f"{quiet.end:%H:%M}",
        "timezone": quiet.timezone,
    }


def spelled_digest(digest: DigestTime) -> dict[str, Json]:
    """When a digest comes, as a file has it."""
    return {
        "every": str(digest.every),
        "at": f"{digest.at:%H:%M}",
        "weekday": str(list(Weekday)[digest.weekday - 1]),
        "timezone": digest.timezone,
        "when_empty": digest.when_empty,
    }


def described_listed(held: RuleListed) -> Described:
    """A rule that is there, as `spelled_rule`, and why it is paused if it is."""
    spelled = spelled_rule(held.rule, sync=held.sync, schedule=held.schedule)
    return {**spelled, "paused": held.rule.paused}


def rule_problems(manifest: Manifest, current: Current) -> Iterator[Problem]:
    """What only the catalog can tell of rules: what they are about, and where they send to."""
    syncs = {one.name for one in manifest.syncs} | manifest.broken_syncs
    syncs |= {one.sync.name for one in current.syncs}
    schedules = {f"{sync.name}/{one.name}" for sync in manifest.syncs for one in sync.schedules}
    schedules |= {
        f"{held.sync.name}/{one.name}" for held in current.syncs for one in held.schedules
    }
    for rule in manifest.rules:
        for key, name, known in (
            ("sync", rule.sync, syncs),
            ("schedule", rule.schedule, schedules),
        ):
            is_broken = name is not None and name.partition("/")[0] in manifest.broken_syncs
            if name is not None and name not in known and not is_broken:
                hint = nearest(name, sorted(known)[:20], what="there are")
                message = f"{key} {name!r} is none of the file or the tenant; {hint}"
                yield _problem(rule, key, message)
        if rule.channel in AT_A_URL and rule.url is None and _held_url(rule, current) is None:
            yield _problem(rule, "url", f"rule {rule.name!r} needs url: where to send to")


def rule_changes(manifest: Manifest, current: Current) -> Iterator[Change]:
    """The rules that become new or other, and then the alerts."""
    for wanted in manifest.rules:
        yield from _rule_change(manifest.tenant, wanted, current)
    if manifest.alerts is None:
        return
    before, after = current.thresholds, thresholds_to_json(manifest.alerts.thresholds)
    if before != after:
        yield Change(
            kind=Kind.ALERTS,
            name=manifest.tenant,
            before=before,
            after=after,
            fields=differences(before, after),
            put=PutAlerts(thresholds=manifest.alerts.thresholds),
        )


def _rule_change(tenant: str, wanted: WantedRule, current: Current) -> Iterator[Change]:
    held = current.rule(wanted.name)
    url = _held_url(wanted, current)
    rule = made_rule(wanted, url=url)
    was_active = held is None or held.rule.is_active
    is_active = was_active if wanted.is_active is None else wanted.is_active
    spelled = spelled_rule(rule, sync=wanted.sync, schedule=wanted.schedule)
    after: Described = {**spelled, "is_active": is_active, "paused": None}
    before = None if held is None else described_listed(held)
    has_other_url = held is not None and wanted.url is not None and wanted.url != url
    if held is not None and not (wanted.is_active or has_other_url):
        after = {**after, "paused": held.rule.paused}
    fields = differences(before, after)
    if has_other_url:
        fields += (FieldChange(field="url", is_secret=True),)
    if before is None or fields:
        yield Change(
            kind=Kind.RULE,
            name=f"{tenant}/{wanted.name}",
            before=before,
            after=after,
            fields=fields,
            put=PutRule(
                wanted=wanted,
                url=wanted.url or url,
                is_active=is_active,
                paused=held.rule.paused if held and after["paused"] else None,
            ),
        )


def _held_url(wanted: WantedRule, current: Current) -> str | None:
    """What a rule of that name and channel sends to now; None if there is nothing."""
    held = current.rule(wanted.name)
    if held is None or held.rule.channel is not wanted.channel or not held.rule.targets:
        return None
    return held.rule.target or None


def _problem(rule: WantedRule, key: str, message: str) -> Problem:
    line = rule.lines.get(key, rule.line)
    return Problem(line=line, message=redacted(message, rule.hidden))
