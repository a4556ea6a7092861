"""An adaptive schedule learns how long to wait."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.model.cadence import Adaptive, ClockChange, Every
from sync_pipelines.timing.adaptive import Check, choose
from sync_pipelines.timing.instants import next_instant
from tests.timing import strategies

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
QUARTER_TO_DAY = Adaptive(least=15, most=1440)

checks = st.lists(
    st.builds(
        Check,
        at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        found_changes=st.booleans(),
        rows=st.integers(0, 1000),
    ),
    max_size=60,
)


@given(strategies.adaptives, checks, st.none() | st.integers(1, 100_000))
def test_the_interval_stays_within_its_bounds(
    cadence: Adaptive, history: list[Check], current: int | None
):
    choice = choose(cadence, history, current=current)

    assert cadence.least <= choice.minutes <= cadence.most
    assert choice.cadence == Every(minutes=choice.minutes)


@given(strategies.adaptives, checks.filter(bool), st.data())
def test_one_step_goes_the_way_of_the_latest_check_and_at_most_to_half_or_double(
    cadence: Adaptive, history: list[Check], data: st.DataObject
):
    current = data.draw(st.integers(cadence.least, cadence.most))
    latest = max(history, key=lambda check: check.at)
    history = [check for check in history if check is latest or check.at < latest.at]

    minutes = choose(cadence, history, current=current).minutes

    assert current / 2 <= minutes <= current * 2
    if latest.found_changes:
        assert minutes < current or minutes == cadence.least
    else:
        assert minutes > current or minutes == cadence.most


@given(strategies.adaptives, checks, st.randoms())
def test_the_order_in_which_checks_are_given_does_not_matter(
    cadence: Adaptive, history: list[Check], random: Random
):
    history = list({check.at: check for check in history}.values())
    shuffled = random.sample(history, len(history))

    assert choose(cadence, shuffled) == choose(cadence, history)


def learned(is_changed_every: timedelta, *, steps: int = 200) -> list[int]:
    """The intervals chosen while something changes at an even pace."""
    at, seen, current = BEGUN, BEGUN, 60
    history: list[Check] = []
    chosen: list[int] = []
    for _ in range(steps):
        changes = (at - BEGUN) // is_changed_every - (seen - BEGUN) // is_changed_every
        history.append(Check(at=at, found_changes=changes > 0, rows=changes))
        current = choose(QUARTER_TO_DAY, history, current=current).minutes
        chosen.append(current)
        seen, at = at, at + current * MINUTE
    return chosen


def test_it_settles_where_about_half_of_the_checks_find_something():
    """R19: neither idle calls nor stale data."""
    for hours in (2, 4, 8):
        settled = learned(timedelta(hours=hours))[100:]
        mean = sum(settled) / len(settled)
        assert hours * 60 * 0.35 < mean < hours * 60 * 1.6, hours


def test_it_goes_to_its_bounds_where_nothing_or_everything_changes():
    assert learned(timedelta(days=1000))[-1] == 1440
    assert learned(MINUTE)[-1] == 15


def history(*found: bool, every: int = 60, rows: int = 0) -> list[Check]:
    return [
        Check(at=BEGUN + number * every * MINUTE, found_changes=changed, rows=rows * changed)
        for number, changed in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("found", "current", "reason"),
    [
        ([], None, "Nothing is known yet, so it checks every 15 minutes."),
        (
            history(False, True, True, rows=120),
            60,
            "2 of the last 3 checks found changes, the latest too (about 120 rows each):"
            " every {} instead of every hour.",
        ),
        (
            history(True, False),
            60,
            "1 of the last 2 checks found changes, the latest nothing:"
            " every {} instead of every hour.",
        ),
        (
            history(False, False),
            1440,
            "0 of the last 2 checks found changes: it stays at every 24 hours, its most.",
        ),
        (
            history(True),
            15,
            "The only check found changes: it stays at every 15 minutes, its least.",
        ),
    ],
)
def test_the_reason_is_told_in_one_sentence(found: list[Check], current: int | None, reason: str):
    """R19."""
    choice = choose(QUARTER_TO_DAY, found, current=current)

    assert choice.reason == reason.format(f"{choice.minutes} minutes")


def test_before_anything_is_known_the_least_interval_is_in_force():
    found = next_instant(QUARTER_TO_DAY, "UTC", ClockChange(), after=BEGUN, anchor=BEGUN)

    assert found == BEGUN + 15 * MINUTE
