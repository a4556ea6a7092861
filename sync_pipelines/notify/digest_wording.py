"""What a digest says to people, and its chart. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sync_pipelines.model.notification import Severity
from sync_pipelines.notify.chart import Bar, draw
from sync_pipelines.notify.sending import Outgoing
from sync_pipelines.notify.wording import Worded
from sync_pipelines.timing.zones import find_zone

MOST_STALE = 10
THOUSAND, MILLION, MILLIARD = 10**3, 10**6, 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a list: what it is about, a figure or a time, and what else there is to say."""

    name: str
    value: str = ""
    more: str = ""

    def as_text(self) -> str:
        """As one line of plain text."""
        value = f": {self.value}" if self.value else ""
        return f"{self.name}{value}{f'. {self.more}' if self.more else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A list with its title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of the chart: its name, and how much ended on it."""

    name: str
    ended: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WordedDigest(Worded):
    """A digest in words: in ``facts`` all of it, and the same by parts, for a layout."""

    period: str
    figures: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    days: tuple[Day, ...]

    @property
    def has_chart(self) -> bool:
        """Whether there is anything to draw."""
        return any(day.ended for day in self.days)


def worded_digest(message: Outgoing) -> WordedDigest:
    """A digest in words."""
    told = message.payload["digest"]
    rate = told["success_rate"]
    went = (
        "nothing ran"
        if rate is None
        else f"{_percent(rate)} of {_counted(told['executions'])} went well"
    )
    sections = tuple(section for section in _sections(told) if section.rows)
    period = _period(told)
    facts = (
        ("Period", period),
        ("Executions", _executions(told)),
        ("Records moved", f"{told['records']:,}"),
        *((one.title, "\n".join(row.as_text() for row in one.rows)) for one in sections),
    )
    headline = f"Your {told['every']} digest: {went}"
    return WordedDigest(
        subject=f"[{message.payload['tenant']}] {headline}",
        badge=f"{told['every']} digest".capitalize(),
        headline=f"{went[0].upper()}{went[1:]}",
        facts=facts,
        link_label="Open all syncs",
        link=message.url,
        severity=Severity(message.payload["severity"]),
        period=period,
        figures=(
            ("went well", "-" if rate is None else _percent(rate)),
            ("completed", short(told["completed"])),
            ("failed", short(told["failed"])),
            ("records moved", short(told["records"])),
        ),
        sections=sections,
        days=tuple(_days(told["days"])),
    )


def chart_of(message: Outgoing) -> bytes:
    """The digest's chart, a PNG."""
    days = message.payload["digest"]["days"]
    return draw([Bar(day["completed"], day["failed"]) for day in days])


def short(number: int) -> str:
    """A number in at most five characters or so: 9,999, 12.3 k, 4.1 M."""
    if number < 10 * THOUSAND:
        return f"{number:,}"
    for most, unit, sign in ((MILLION, THOUSAND, "k"), (MILLIARD, MILLION, "M")):
        if number < most:
            return f"{number // (unit // 10) / 10:g} {sign}"
    return f"{number // (MILLIARD // 10) / 10:,g} G"


def _sections(told: Mapping[str, Any]) -> Iterator[Section]:
    yield Section(title="Failures by cause", rows=tuple(map(_cause, told["causes"])))
    yield Section(title="Without fresh data", rows=tuple(_stale(told)))
    slowest = (Row(name=one["sync"], value=_lasted(one["ms"])) for one in told["slowest"])
    yield Section(title="Slowest", rows=tuple(slowest))
    coming = (Row(name=one["sync"], value=_when(one["at"], told)) for one in told["upcoming"])
    yield Section(title="Coming next", rows=tuple(coming))


def _days(days: Sequence[Mapping[str, Any]]) -> Iterator[Day]:
    for day in days:
        on = date.fromisoformat(day["day"])
        ended = day["completed"] + day["failed"]
        yield Day(name=f"{on:%a} {on.day}", ended=ended, failed=day["failed"])


def _period(told: Mapping[str, Any]) -> str:
    return f"{_when(told['since'], told)} to {_when(told['until'], told)} ({told['zone']})"


def _executions(told: Mapping[str, Any]) -> str:
    if not told["executions"]:
        return "none"
    return f"{told['completed']:,} completed, {told['failed']:,} failed"


def _cause(one: Mapping[str, Any]) -> Row:
    syncs = "1 sync" if one["syncs"] == 1 else f"{one['syncs']:,} syncs"
    kind = one["class"].replace("_", " ")
    return Row(
        name=f"{one['connection']}, {kind}",
        value=f"{one['failures']:,} in {syncs}",
        more=one["remedy"],
    )


def _stale(told: Mapping[str, Any]) -> Iterator[Row]:
    stale = told["stale"]
    for one in stale[:MOST_STALE]:
        good = one["last_good_at"]
        yield Row(name=one["sync"], value=f"last good {_when(good, told)}" if good else "never yet")
    if len(stale) > MOST_STALE:
        yield Row(name=f"and {len(stale) - MOST_STALE:,} more")


def _counted(number: int) -> str:
    return "1 execution" if number == 1 else f"{number:,} executions"


def _percent(rate: float) -> str:
    """Rounded down: 99.96 % is not all."""
    return f"{int(rate * 1000) / 10:g} %"


def _lasted(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _when(written: str, told: Mapping[str, Any]) -> str:
    wall = datetime.fromisoformat(written).astimezone(find_zone(told["zone"]))
    return f"{wall:%a} {wall.day} {wall:%b}, {wall:%H:%M}"
