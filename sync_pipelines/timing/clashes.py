"""What schedules do to each other, found before they are saved and every night.

Laws:

* What is certain follows from what was written. What is likely rests on a sample of
  firings to come or on measured durations, and says so.
* The same schedules, in any order, give the same findings.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations
from uuid import UUID

import numpy as np

from sync_pipelines.model.cadence import After, Event, Manual
from sync_pipelines.model.policy import Overlap
from sync_pipelines.timing.clash_load import (
    MICROSECOND,
    Running,
    Starts,
    busiest,
    together,
)
from sync_pipelines.timing.dependencies import cycle
from sync_pipelines.timing.firings import Timetable, next_firing, starts
from sync_pipelines.timing.likeness import fires_alike, fires_within

YEARS = timedelta(days=3653)
"""A schedule that starts nothing in so long never does."""

SPAN = timedelta(days=8)
"""So far ahead load and overlaps are looked for: a week, and a day for its turn."""

HOUR = timedelta(hours=1)
MOST_STARTS = 2000
LEAST_MEASURED = 3
_UNMEASURED = timedelta(minutes=1)


class Kind(StrEnum):
    """What clashes."""

    DUPLICATE = "duplicate"
    SHARED_TABLE = "shared_table"
    OVERLAP = "overlap"
    LIMIT = "limit"
    CYCLE = "cycle"
    NEVER_STARTS = "never_starts"


class Severity(StrEnum):
    """Whether to refuse or to warn."""

    CERTAIN = "certain"
    LIKELY = "likely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One active schedule and what it moves.

    ``sync`` is ``tenant/name``; ``streams`` are those it moves; ``destination`` names
    the place, and ``tables`` those it writes there; ``durations`` are measured ones.
    """

    timetable: Timetable
    sync: str
    streams: frozenset[str] = frozenset()
    destination: str = ""
    tables: frozenset[str] = frozenset()
    durations: tuple[timedelta, ...] = ()

    @property
    def id(self) -> UUID:
        """The schedule's."""
        return self.timetable.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One clash: between which schedules, in a tenant's words, and what would end it."""

    kind: Kind
    severity: Severity
    schedules: tuple[UUID, ...]
    message: str
    remedy: str


def find_clashes(
    planned: Sequence[Planned], *, after: datetime, most_at_once: int | None = None
) -> tuple[Finding, ...]:
    """Everything that clashes among one tenant's active schedules, after ``after``.

    ``most_at_once`` is how many executions of the tenant may run at a time.
    """
    ordered = sorted(planned, key=lambda each: (each.sync, each.id))
    syncs: dict[str, list[Planned]] = defaultdict(list)
    for each in ordered:
        syncs[each.sync].append(each)
    found = [*_cycles(ordered), *_never(ordered, after)]
    for schedules in syncs.values():
        found += _duplicates(schedules, after)
    found += _shared_tables(ordered)
    coming = Starts(after=after, span=SPAN, most=MOST_STARTS)
    for sync, schedules in syncs.items():
        found += _overlaps(sync, schedules, coming)
    if most_at_once is not None:
        found += _too_many(ordered, coming, most_at_once)
    return tuple(found)


def find_overload(planned: Sequence[Planned], *, after: datetime, most: int) -> Finding | None:
    """When more of these would run at once than may; what else clashes is not looked for."""
    ordered = sorted(planned, key=lambda each: (each.sync, each.id))
    coming = Starts(after=after, span=SPAN, most=MOST_STARTS)
    return next(_too_many(ordered, coming, most), None)


def find_crowd(planned: Sequence[Planned], *, after: datetime, most: int) -> Finding | None:
    """When more of these would start within an hour than may."""
    syncs: dict[str, list[Planned]] = defaultdict(list)
    for each in sorted(planned, key=lambda each: (each.sync, each.id)):
        syncs[each.sync].append(each)
    coming = Starts(after=after, span=SPAN, most=MOST_STARTS)
    schedules = list(syncs.values())
    worst = busiest(
        [  # what lasts an hour runs beside all that started in the hour before
            Running(
                starts=together([coming.of(each.timetable) for each in of_sync]),
                lasts=HOUR // MICROSECOND,
            )
            for of_sync in schedules
        ]
    )
    if worst is None or len(worst.whose) <= most:
        return None
    return Finding(
        kind=Kind.LIMIT,
        severity=Severity.LIKELY,
        schedules=_ids(each for place in worst.whose for each in schedules[place]),
        message=(
            f"{len(worst.whose)} executions would start within the hour up to"
            f" {worst.at:%Y-%m-%d %H:%M} UTC; at most {most} an hour may, and the others are"
            " skipped"
        ),
        remedy="let some of them run less often, or ask for a higher limit",
    )


def typical(durations: Sequence[timedelta]) -> timedelta | None:
    """How long nineteen of twenty take at most; None where too few were measured."""
    if len(durations) < LEAST_MEASURED:
        return None
    return sorted(durations)[(len(durations) * 19 - 1) // 20]


def _cycles(planned: Sequence[Planned]) -> Iterator[Finding]:
    graph: dict[str, set[str]] = defaultdict(set)
    for each in planned:
        if isinstance(each.timetable.cadence, After):
            graph[each.sync].add(each.timetable.cadence.key(each.sync.partition("/")[0]))
    way = cycle(graph)
    if way is not None:
        waiting = [each for each in planned if each.sync in way]
        yield Finding(
            kind=Kind.CYCLE,
            severity=Severity.CERTAIN,
            schedules=_ids(each for each in waiting if isinstance(each.timetable.cadence, After)),
            message=f"{' waits for '.join(way)}: none of them would ever start",
            remedy=f"give one of them a time instead, such as {way[0]}",
        )


def _never(planned: Sequence[Planned], after: datetime) -> Iterator[Finding]:
    for each in planned:
        timetable = each.timetable
        coming = next_firing(timetable, after=after)
        is_stopped = timetable.policies.pause is not None and timetable.policies.pause.until is None
        if coming is None or coming.fires or is_stopped:
            continue
        if next(starts(timetable, after=after, until=after + YEARS), None) is None:
            yield Finding(
                kind=Kind.NEVER_STARTS,
                severity=Severity.CERTAIN,
                schedules=(each.id,),
                message=f"a schedule of {each.sync} never starts anything: {coming.reason}",
                remedy="move its times, or change its blackouts or its start and end",
            )


def _duplicates(schedules: Sequence[Planned], after: datetime) -> Iterator[Finding]:
    for one, other in combinations(schedules, 2):
        if isinstance(one.timetable.cadence, Manual):
            continue
        if one.streams == other.streams and fires_alike(one.timetable, other.timetable):
            yield _duplicate(one, other, Severity.CERTAIN, "fire alike")
        elif _implies(one, other, after):
            yield _duplicate(one, other, Severity.LIKELY, _redundant(one))
        elif _implies(other, one, after):
            yield _duplicate(other, one, Severity.LIKELY, _redundant(other))


def _implies(one: Planned, other: Planned, after: datetime) -> bool:
    """Whether ``other`` moves all that ``one`` does, whenever it does."""
    return one.streams <= other.streams and fires_within(
        one.timetable, other.timetable, after=after
    )


def _redundant(one: Planned) -> str:
    if isinstance(one.timetable.cadence, Event):
        return "answer the same events, one of them with more conditions"
    return "fire together whenever the first does, as far as was looked"


def _duplicate(one: Planned, other: Planned, severity: Severity, how: str) -> Finding:
    return Finding(
        kind=Kind.DUPLICATE,
        severity=severity,
        schedules=(one.id, other.id),
        message=f"two schedules of {one.sync} {how}",
        remedy="delete the first of them: the other does its work",
    )


def _shared_tables(planned: Sequence[Planned]) -> Iterator[Finding]:
    writers: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for each in planned:
        for table in each.tables:
            writers[each.destination, table].append(each)
    for (destination, table), found in sorted(writers.items()):
        syncs = sorted({each.sync for each in found})
        if len(syncs) > 1:
            yield Finding(
                kind=Kind.SHARED_TABLE,
                severity=Severity.CERTAIN,
                schedules=_ids(found),
                message=f"{_and(syncs)} write the same table {table} of {destination}",
                remedy="give each its own table or dataset",
            )


def _overlaps(sync: str, schedules: Sequence[Planned], coming: Starts) -> Iterator[Finding]:
    usual = typical([duration for each in schedules for duration in each.durations])
    if usual is None:
        return
    moments = together([coming.of(each.timetable) for each in schedules])
    gaps = np.diff(moments)
    short = gaps[gaps < usual // MICROSECOND]
    if len(short):
        least = _minutes(int(short.min()) * MICROSECOND)
        yield Finding(
            kind=Kind.OVERLAP,
            severity=Severity.LIKELY,
            schedules=_ids(schedules),
            message=(
                f"executions of {sync} take up to {_minutes(usual)}, and the next is due"
                f" {least} after one starts; so it is with {len(short)} of the"
                f" next {len(moments)}, which {_fate(schedules)}"
            ),
            remedy=f"leave at least {_minutes(usual)} between firings",
        )


def _fate(schedules: Sequence[Planned]) -> str:
    overlaps = {each.timetable.policies.overlap for each in schedules}
    words: Mapping[Overlap, str] = {
        Overlap.SKIP: "are skipped",
        Overlap.QUEUE: "wait",
        Overlap.CANCEL: "cancel the one before",
    }
    return " or ".join(words[overlap] for overlap in Overlap if overlap in overlaps)


def _too_many(planned: Sequence[Planned], coming: Starts, limit: int) -> Iterator[Finding]:
    """The moment at which most would run at once, if those are too many."""
    running = []
    for each in planned:
        lasts = max(typical(each.durations) or _UNMEASURED, _UNMEASURED)
        starting = coming.of(each.timetable)
        running.append(Running(starts=starting, lasts=lasts // MICROSECOND))
    worst = busiest(running)
    if worst is not None and len(worst.whose) > limit:
        yield Finding(
            kind=Kind.LIMIT,
            severity=Severity.LIKELY,
            schedules=_ids(planned[place] for place in worst.whose),
            message=(
                f"{len(worst.whose)} executions would run at once at"
                f" {worst.at:%Y-%m-%d %H:%M} UTC; at most {limit} may, and the others wait"
            ),
            remedy="move some of them, or give them a spread",
        )


def _ids(planned: Iterable[Planned]) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(each.id for each in planned))


def _minutes(duration: timedelta) -> str:
    minutes = max(1, round(duration / timedelta(minutes=1)))
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
