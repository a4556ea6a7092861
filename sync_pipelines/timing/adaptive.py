"""How long an adaptive schedule waits, learned from how often it found changes.

Changes are taken to come at random at some rate. The rate is estimated from past
checks, recent ones counting more, and the interval aimed at is the one after which a
check finds something half of the time: shorter ones mostly find nothing, longer ones
mostly come late.

Laws:

* Never outside the cadence's bounds.
* After a check that found nothing it grows, after one that found changes it shrinks,
  until it meets a bound; in one step at most to the double or the half.
* The same history gives the same choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import log

from sync_pipelines.model.cadence import Adaptive, Every

MOST_CHECKS = 50
"""The latest checks that are looked at."""

_HALF_LIFE = 8
"""After so many more checks, one counts half."""

_EVEN_CHANCE = log(2)
_LEAST_STEP = 0.1
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One execution that succeeded: when it looked, whether it found changes, and how many."""

    at: datetime
    found_changes: bool
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The interval until the next check, and why, in one sentence."""

    minutes: int
    reason: str

    @property
    def cadence(self) -> Every:
        """What the schedule does until the next choice, counted from its last firing."""
        return Every(minutes=self.minutes)


def choose(cadence: Adaptive, history: Sequence[Check], *, current: int | None = None) -> Choice:
    """The next interval, from checks in any order and the ``current`` one in minutes.

    Without ``current``, the time between the last two checks stands for it.
    """
    checks = sorted(history, key=lambda check: check.at)[-MOST_CHECKS:]
    if not checks:
        minutes = _bounded(cadence, cadence.least if current is None else current)
        reason = f"Nothing is known yet, so it checks every {_words(minutes)}."
        return Choice(minutes=minutes, reason=reason)
    before = _bounded(cadence, _last_gap(cadence, checks) if current is None else current)
    aim = _aim(checks, before)
    if checks[-1].found_changes:
        step = min(max(aim, before / 2), before * (1 - _LEAST_STEP))
        minutes = min(round(step), before - 1)
    else:
        step = max(min(aim, before * 2), before * (1 + _LEAST_STEP))
        minutes = min(max(round(step), before + 1), 2 * before)
    minutes = _bounded(cadence, max(minutes, -(-before // 2)))
    return Choice(minutes=minutes, reason=_reason(cadence, checks, before, minutes))


def _aim(checks: Sequence[Check], before: int) -> float:
    """Minutes after which a check finds something half of the time.

    One made-up check at the present interval keeps the first real ones from deciding all.
    """
    changes, minutes = _EVEN_CHANCE, float(before)
    gaps = [float(before), *((late.at - early.at) / _MINUTE for early, late in pairwise(checks))]
    for age, (check, gap) in enumerate(zip(reversed(checks), reversed(gaps), strict=True)):
        weight = 0.5 ** (age / _HALF_LIFE)
        changes += weight * check.found_changes
        minutes += weight * gap
    return _EVEN_CHANCE * minutes / changes


def _last_gap(cadence: Adaptive, checks: Sequence[Check]) -> int:
    if len(checks) < 2:
        return cadence.least
    return round((checks[-1].at - checks[-2].at) / _MINUTE)


def _bounded(cadence: Adaptive, minutes: int) -> int:
    return min(max(minutes, cadence.least), cadence.most)


def _reason(cadence: Adaptive, checks: Sequence[Check], before: int, minutes: int) -> str:
    fruitful = [check for check in checks if check.found_changes]
    told = (
        f"{len(fruitful)} of the last {len(checks)} checks" if len(checks) > 1 else "The only check"
    )
    if len(checks) == 1:
        told += " found changes" if fruitful else " found nothing"
    else:
        latest = "the latest too" if checks[-1].found_changes else "the latest nothing"
        told += f" found changes, {latest}" if fruitful else " found changes"
    rows = sum(check.rows for check in fruitful) // len(fruitful) if fruitful else 0
    told += f" (about {rows} rows each)" if rows else ""
    if minutes != before:
        return f"{told}: every {_words(minutes)} instead of every {_words(before)}."
    bound = "least" if minutes == cadence.least else "most"
    return f"{told}: it stays at every {_words(minutes)}, its {bound}."


def _words(minutes: int) -> str:
    number, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return unit if number == 1 else f"{number} {unit}s"
