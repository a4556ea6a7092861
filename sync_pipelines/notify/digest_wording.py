"""What a digest says to people, and its chart. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sync_pipelines.model.notification import Severity
from sync_pipelines.notify.chart import Bar, draw
from sync_pipelines.notify.sending import Outgoing
from sync_pipelines.notify.wording import Worded
from sync_pipelines.timing.zones import find_zone

MOST_STALE = 10


def worded_digest(message: Outgoing) -> Worded:
    """A digest in words."""
    told = message.payload["digest"]
    rate = told["success_rate"]
    went = (
        "nothing ran" if rate is None else f"{_percent(rate)} of {told['executions']:,} went well"
    )
    facts = (
        ("Period", _period(told)),
        ("Executions", _executions(told)),
        ("Records moved", f"{told['records']:,}"),
        ("Failures by cause", _lines(_cause(one) for one in told["causes"])),
        ("Slowest", _lines(f"{one['sync']}: {_lasted(one['ms'])}" for one in told["slowest"])),
        ("Without fresh data", _stale(told)),
        (
            "Coming next",
            _lines(f"{one['sync']}: {_when(one['at'], told)}" for one in told["upcoming"]),
        ),
    )
    headline = f"Your {told['every']} digest: {went}"
    return Worded(
        subject=f"[{message.payload['tenant']}] {headline}",
        headline=headline,
        facts=tuple(fact for fact in facts if fact[1]),
        link_label="Open all syncs",
        link=message.url,
        severity=Severity(message.payload["severity"]),
    )


def chart_of(message: Outgoing) -> bytes:
    """The digest's chart, a PNG."""
    days = message.payload["digest"]["days"]
    return draw([Bar(day["completed"], day["failed"]) for day in days])


def _period(told: dict[str, Any]) -> str:
    return f"{_when(told['since'], told)} to {_when(told['until'], told)} ({told['zone']})"


def _executions(told: dict[str, Any]) -> str:
    if not told["executions"]:
        return "none"
    return f"{told['completed']:,} completed, {told['failed']:,} failed"


def _cause(one: dict[str, Any]) -> str:
    syncs = "1 sync" if one["syncs"] == 1 else f"{one['syncs']} syncs"
    kind = one["class"].replace("_", " ")
    return f"{one['connection']}, {kind}: {one['failures']} in {syncs}. {one['remedy']}"


def _stale(told: dict[str, Any]) -> str:
    stale = told["stale"]
    lines = [
        f"{one['sync']}: last good {_when(one['last_good_at'], told)}"
        if one["last_good_at"]
        else f"{one['sync']}: never yet"
        for one in stale[:MOST_STALE]
    ]
    if len(stale) > MOST_STALE:
        lines.append(f"and {len(stale) - MOST_STALE} more")
    return _lines(lines)


def _coming(one: dict[str, Any], told: dict[str, Any]) -> str:
    return f"{one['sync']}: {_when(one['at'], told)}"


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _percent(rate: float) -> str:
    """Rounded down: 99.96 % is not all."""
    return f"{int(rate * 1000) / 10:g} %"


def _lasted(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _when(written: str, told: dict[str, Any]) -> str:
    wall = datetime.fromisoformat(written).astimezone(find_zone(told["zone"]))
    return f"{wall:%a %d %b %H:%M}"
