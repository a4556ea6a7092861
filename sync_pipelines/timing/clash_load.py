"""How many executions schedules to come would have running at once.

Laws:

* The starts are those of `firings.starts`, as whole microseconds since 1970: a thousand
  schedules that fire every minute have millions, for which objects are too slow.
* What ends at an instant has ended before anything starts at it.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sync_pipelines.model.cadence import Adaptive, Every
from sync_pipelines.timing.bars import pieces
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.instants import instants, interval_of

Moments: TypeAlias = npt.NDArray[np.int64]
"""Instants in microseconds since 1970, in order."""

MICROSECOND = timedelta.resolution
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NONE: Moments = np.empty(0, dtype=np.int64)
_WEIGHT_BITS = 20
_WEIGHTS = 2**_WEIGHT_BITS - 1


class Starts:
    """The first ``most`` starts of schedules due after ``after`` up to ``after + span``.

    Those that fire alike are looked at once.
    """

    def __init__(self, *, after: datetime, span: timedelta, most: int) -> None:
        self._after, self._until, self._most = after, after + span, most
        self._known: dict[Hashable, Moments] = {}

    def of(self, timetable: Timetable) -> Moments:
        """One schedule's."""
        key = _alike(timetable)
        if key not in self._known:
            self._known[key] = self._of(timetable)
        return self._known[key]

    def _of(self, timetable: Timetable) -> Moments:
        offset = timetable.offset
        end = self._until + offset
        found, number = [_NONE], 0
        barred = pieces(timetable.policies, timetable.local, after=self._after + offset, until=end)
        for piece in barred:
            if piece.bar is None and number < self._most:
                after, until = piece.after - offset, piece.until - offset
                due = _due(timetable, after, until, self._most - number)
                found.append(due + offset // MICROSECOND)
                number += len(due)
        return np.concatenate(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Executions that start at these moments and last so many microseconds each."""

    starts: Moments
    lasts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Busiest:
    """The first moment at which most run: how many, and whose, the longest running first.

    ``whose`` are places in what was asked about; one of which two run stands there twice.
    """

    at: datetime
    whose: Sequence[int]


def busiest(running: Sequence[Running]) -> Busiest | None:
    """When most of these run at once; None where nothing starts."""
    weights = Counter((id(one.starts), one.lasts) for one in running)
    distinct = {(id(one.starts), one.lasts): one for one in running if len(one.starts)}
    if not distinct:
        return None
    origin = min(int(one.starts[0]) for one in distinct.values())
    horizon = max(int(one.starts[-1]) for one in distinct.values()) + 1
    edges = []
    for same, one in distinct.items():
        ends = np.minimum(one.starts + one.lasts, horizon)  # later ends change nothing
        for moments, is_start in ((one.starts, 1), (ends, 0)):
            edges.append((((moments - origin) * 2 + is_start) << _WEIGHT_BITS) + weights[same])
    # One number an edge, so that sorting them is quick: when, start or end, of how many.
    order = np.concatenate(edges)
    order.sort()
    change = order & _WEIGHTS
    order >>= _WEIGHT_BITS
    np.negative(change, out=change, where=order % 2 == 0)
    at = int(order[np.argmax(np.cumsum(change))]) // 2 + origin
    whose = sorted(
        (start, place)
        for place, one in enumerate(running)
        for start in _running_at(one, at).tolist()
    )
    return Busiest(at=_EPOCH + at * MICROSECOND, whose=[place for _, place in whose])


def together(moments: Sequence[Moments]) -> Moments:
    """All of these in order, each once."""
    if len(moments) == 1:
        return moments[0]
    found = np.sort(np.concatenate(moments))
    return found[np.diff(found, prepend=-1) > 0]


def _running_at(one: Running, at: int) -> Moments:
    first, last = np.searchsorted(one.starts, [at - one.lasts, at], side="right")
    return one.starts[first:last]


def _due(timetable: Timetable, after: datetime, until: datetime, most: int) -> Moments:
    cadence = timetable.cadence
    if isinstance(cadence, Every | Adaptive):
        return _every(timetable.anchor, interval_of(cadence), after, until)[:most]
    found = instants(
        cadence,
        timetable.zone,
        timetable.clock_change,
        after=after,
        until=until,
        anchor=timetable.anchor,
    )
    return np.fromiter(((at - _EPOCH) // MICROSECOND for at in islice(found, most)), np.int64)


def _every(anchor: datetime, step: timedelta, after: datetime, until: datetime) -> Moments:
    first = 0 if after < anchor else (after - anchor) // step + 1
    last = (until - anchor) // step
    return (anchor - _EPOCH) // MICROSECOND + np.arange(first, last + 1) * (step // MICROSECOND)


def _alike(timetable: Timetable) -> Hashable:
    """What its starts depend on, besides a zone's clocks."""
    policies, cadence = timetable.policies, timetable.cadence
    counted_from = timetable.anchor if isinstance(cadence, Every | Adaptive) else None
    return (
        *(cadence, timetable.zone, timetable.clock_change, counted_from, timetable.offset),
        *(policies.blackouts, policies.starts_at, policies.ends_at, policies.pause),
    )
