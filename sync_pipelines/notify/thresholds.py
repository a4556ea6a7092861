"""When a number is an alert, and when it no longer is. Pure.

Law: what is on ends at another number than it began at, so that an alert does not flap.
Every number is made so that higher is worse.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from statistics import median
from typing import Any, TypeAlias

ENOUGH = 5
"""Of fewer executions than that nothing is said."""

SHORTEST_SLOW = timedelta(minutes=1)
"""What is over sooner is never slow, whatever it was before."""

FEWEST_RECORDS = 100
"""What usually moves fewer is never odd."""

SHORTEST_STALE = timedelta(hours=1)


class Measure(StrEnum):
    """What is looked at."""

    FAILURES = "failure_rate"
    SLOWNESS = "slowness"
    RECORDS = "record_deviation"
    STALENESS = "staleness"
    QUEUE = "queue_depth"
    CAPACITY = "capacity"


@dataclass(frozen=True, slots=True)
class Threshold:
    """An alert is on from ``opens`` on, and then until it falls below ``closes``."""

    opens: float
    closes: float

    def __post_init__(self) -> None:
        if not (isfinite(self.opens) and isfinite(self.closes) and self.closes > 0):
            raise ValueError(f"opens {self.opens} and closes {self.closes} must be above 0")
        if self.closes > self.opens:
            raise ValueError(f"closes {self.closes} must not be above opens {self.opens}")

    def is_on(self, value: float, *, was_on: bool) -> bool:
        """Whether the alert is on at a value."""
        return value >= (self.closes if was_on else self.opens)


USUAL = {
    Measure.FAILURES: Threshold(0.2, 0.1),
    Measure.SLOWNESS: Threshold(3, 2),
    Measure.RECORDS: Threshold(5, 2),
    Measure.STALENESS: Threshold(3, 1.5),
    Measure.QUEUE: Threshold(100, 50),
    Measure.CAPACITY: Threshold(0.9, 0.7),
}


Thresholds: TypeAlias = Mapping[Measure, Threshold | None]
"""By measure; one that is None is never an alert."""


def thresholds_from_json(held: Mapping[str, Any]) -> Thresholds:
    """What a tenant has said, as `thresholds_to_json` wrote it."""
    return {
        Measure(name): None if one is None else Threshold(one["opens"], one["closes"])
        for name, one in held.items()
    }


def thresholds_to_json(thresholds: Thresholds) -> dict[str, Any]:
    """By the measures' names; None where it is off."""
    return {
        str(measure): None if one is None else {"opens": one.opens, "closes": one.closes}
        for measure, one in thresholds.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A sync's last executions, newest first; those that completed have durations and records."""

    outcomes: Sequence[bool]
    durations: Sequence[timedelta]
    records: Sequence[int]
    succeeded_at: Sequence[datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A number, and what it says to people."""

    measure: Measure
    value: float
    message: str
    remedy: str


def read(past: Past, now: datetime) -> list[Reading]:
    """What a sync's past comes to."""
    found = [_failures(past), _slowness(past), _deviation(past), _staleness(past, now)]
    return [reading for reading in found if reading is not None]


def _failures(past: Past) -> Reading | None:
    if len(past.outcomes) < ENOUGH:
        return None
    failed = past.outcomes.count(False)
    return Reading(
        measure=Measure.FAILURES,
        value=failed / len(past.outcomes),
        message=f"{failed} of its last {len(past.outcomes)} executions failed",
        remedy="look at what the failures have in common; the incidents name their causes",
    )


def _slowness(past: Past) -> Reading | None:
    if len(past.durations) <= ENOUGH:
        return None
    last, *before = past.durations
    usual = _usual(before)
    value = last / usual if usual and last >= SHORTEST_SLOW else 0.0
    return Reading(
        measure=Measure.SLOWNESS,
        value=value,
        message=f"its last execution took {_lasted(last)}, {value:.1f} times as long as usual",
        remedy="look at whether the source, the destination or the amount of data has changed",
    )


def _deviation(past: Past) -> Reading | None:
    if len(past.records) <= ENOUGH:
        return None
    last, *before = past.records
    usual = median(before)
    value = 0.0
    if usual >= FEWEST_RECORDS:
        value = max(last / usual, usual / max(last, 1))
    return Reading(
        measure=Measure.RECORDS,
        value=value,
        message=f"its last execution moved {last:,} records; {usual:,.0f} are usual",
        remedy="look at the source: a filter, a permission or a bulk change may be behind it",
    )


def _staleness(past: Past, now: datetime) -> Reading | None:
    if len(past.succeeded_at) <= ENOUGH:
        return None
    last = past.succeeded_at[0]
    gaps = [
        later - earlier
        for later, earlier in zip(past.succeeded_at, past.succeeded_at[1:], strict=False)
    ]
    usual = max(_usual(gaps), SHORTEST_STALE)
    return Reading(
        measure=Measure.STALENESS,
        value=(now - last) / usual,
        message=f"its data is from {last:%Y-%m-%d %H:%M} UTC; usually it is fresh every "
        f"{_lasted(usual)}",
        remedy="look at why it has not succeeded since: its history tells",
    )


def _usual(durations: Sequence[timedelta]) -> timedelta:
    return timedelta(seconds=median(one.total_seconds() for one in durations))


def _lasted(duration: timedelta) -> str:
    minutes = duration.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"
