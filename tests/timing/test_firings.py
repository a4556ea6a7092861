"""The firings of a schedule under its policies."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.blackout import DateBlackout, WeeklyBlackout
from sync_pipelines.model.cadence import Cron, Daily, Every, Manual, Weekday
from sync_pipelines.model.policy import Pause, Policies
from sync_pipelines.timing.bars import Cause, bar_at
from sync_pipelines.timing.firings import (
    Timetable,
    due,
    firing_at,
    firings,
    next_firing,
    starts,
    upcoming,
)
from tests.timing import strategies
from tests.timing.strategies import timetable
from tests.timing.test_laws import near_changes

laws = settings(deadline=None, max_examples=150)
MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
SECOND = date(2026, 7, 2)


@given(st.uuids(), st.integers(0, 720))
def test_a_spread_is_stable_whole_minutes_and_within_its_bounds(schedule: UUID, minutes: int):
    """T14."""
    policies = Policies(spread=minutes * MINUTE)
    one, again = (
        Timetable(id=schedule, cadence=Daily(), zone="UTC", policies=policies, anchor=NOW)
        for _ in range(2)
    )

    assert one.offset == again.offset
    assert abs(one.offset) <= minutes * MINUTE
    assert one.offset % MINUTE == timedelta(0)


def test_a_spread_takes_the_schedules_of_one_minute_apart():
    """T14."""
    policies = Policies(spread=30 * MINUTE)

    offsets = [timetable(Daily(), policies=policies, number=n).offset for n in range(1000)]

    assert len(set(offsets)) == 61
    assert max(offsets.count(offset) for offset in set(offsets)) < 40


def test_a_schedule_without_a_spread_starts_on_the_minute():
    assert all(timetable(Daily(), number=n).offset == timedelta(0) for n in range(100))


@given(st.data(), near_changes())
@laws
def test_a_schedule_keeps_the_order_of_its_firings(data: st.DataObject, near: tuple[str, datetime]):
    zone, after = near
    schedule = data.draw(strategies.timetables_about(zone, after))

    found = list(islice(firings(schedule, after=after, until=after + timedelta(days=9)), 200))

    assert all(early.due_at < late.due_at and early.at < late.at for early, late in pairwise(found))
    assert all(abs(one.at - one.due_at) <= schedule.policies.spread for one in found)


@given(st.data(), near_changes())
@laws
def test_what_may_start_is_what_no_policy_bars(data: st.DataObject, near: tuple[str, datetime]):
    """Found piece by piece, or by looking at every firing."""
    zone, after = near
    schedule = data.draw(strategies.timetables_about(zone, after))
    until = after + timedelta(days=9)

    quick = [firing.due_at for firing in starts(schedule, after=after, until=until)]
    slow = [one.due_at for one in firings(schedule, after=after, until=until) if one.fires]

    assert quick == slow
    for due_at in quick:
        assert bar_at(schedule.policies, schedule.local, due_at + schedule.offset) is None


@pytest.mark.parametrize(
    ("policies", "cause"),
    [
        (Policies(pause=Pause(reason="stocktaking")), Cause.PAUSED),
        (Policies(starts_at=NOW + timedelta(days=3)), Cause.NOT_STARTED),
        (Policies(blackouts=(WeeklyBlackout(start=time(1), end=time(3)),)), Cause.BLACKOUT),
        (
            Policies(
                blackouts=(DateBlackout(first_on=date(2026, 7, 2), last_on=date(2026, 7, 2)),)
            ),
            Cause.BLACKOUT,
        ),
    ],
)
def test_a_firing_that_is_barred_is_expected_all_the_same_and_says_why(
    policies: Policies, cause: Cause
):
    """R25: silence is an alarm, so what does not start is on record."""
    found = next_firing(timetable(Daily(), policies=policies), after=NOW)

    assert found.due_at == datetime(2026, 7, 2, 2, tzinfo=UTC)
    assert found.cause is cause
    assert not found.fires
    assert found.reason


def test_after_its_end_and_without_a_clock_nothing_is_expected():
    ended = timetable(Daily(), policies=Policies(ends_at=NOW))

    assert next_firing(ended, after=NOW) is None
    assert next_firing(timetable(Manual()), after=NOW) is None


def test_the_start_counts_and_not_the_time_before_its_spread():
    """A schedule that a spread moves into a blackout does not start in it."""
    night = Policies(
        spread=30 * MINUTE, blackouts=(WeeklyBlackout(start=time(2, 1), end=time(2, 31)),)
    )
    late, early = (
        next(
            n
            for n in range(1000)
            if sign * timetable(Daily(), policies=night, number=n).offset > MINUTE
        )
        for sign in (1, -1)
    )

    barred = next_firing(timetable(Daily(), policies=night, number=late), after=NOW)
    free = next_firing(timetable(Daily(), policies=night, number=early), after=NOW)

    assert barred.cause is Cause.BLACKOUT
    assert free.fires


def test_upcoming_firings_pass_over_blackouts_and_tell_of_clock_changes():
    """R12."""
    weekdays = Policies(blackouts=(WeeklyBlackout(days=(Weekday.SAT, Weekday.SUN)),))
    march = datetime(2026, 3, 27, 12, tzinfo=UTC)

    every_day = upcoming(timetable(Daily(), "Europe/Berlin"), after=march, count=3)
    working = upcoming(timetable(Daily(), "Europe/Berlin", weekdays), after=march, count=2)

    assert [f"{firing.due_at:%d %H:%M}" for firing in every_day] == [
        "28 01:00",
        "29 01:00",
        "30 00:00",
    ]
    assert [bool(firing.note) for firing in every_day] == [False, True, False]
    assert "02:00 does not exist on 2026-03-29" in every_day[1].note
    assert [f"{firing.due_at:%d %H:%M}" for firing in working] == ["30 00:00", "31 00:00"]


def test_a_skipped_wall_time_is_told_on_the_next_firing_that_starts():
    (found,) = upcoming(
        timetable(Daily(), "Europe/Berlin", missing="skip"),
        after=datetime(2026, 3, 28, 12, tzinfo=UTC),
        count=1,
    )

    assert f"{found.due_at:%d %H:%M}" == "30 00:00"
    assert "02:00 does not exist on 2026-03-29" in found.note
    assert found.note.endswith("skipped")


def test_a_year_of_minutes_with_a_blackout_every_night_is_due_in_a_moment():
    """Bounded work and few values, whatever was missed."""
    nights = Policies(blackouts=(WeeklyBlackout(start=time(22), end=time(6)),))
    schedule = timetable(Cron(expression="* * * * *"), "America/Denver", nights)
    after = NOW - timedelta(days=365)

    found = due(schedule, after=after, now=NOW)

    assert sum(firing.count for firing in found) == 365 * 1440
    assert sum(firing.count for firing in found if firing.fires) == 365 * 960
    assert len(found) < 740


def test_an_event_is_judged_when_it_comes():
    closed = Policies(pause=Pause(reason="stocktaking"))

    assert firing_at(timetable(Every(minutes=5)), NOW).fires
    assert firing_at(timetable(Every(minutes=5), policies=closed), NOW).cause is Cause.PAUSED
