"""What is decided on firings that are due, example by example; every one has a reason."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync_pipelines.model.cadence import Cadence, Cron, Daily, Every
from sync_pipelines.model.policy import MissedPolicy, Pause, Policies, parse_policies
from sync_pipelines.timing.bars import Cause
from sync_pipelines.timing.decisions import Outcome, decide, decide_missed, refused
from sync_pipelines.timing.firings import Firing
from tests.timing.strategies import timetable

MINUTE = timedelta(minutes=1)
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday


def told(
    cadence: Cadence, written: dict[str, Any], minutes: int, *, active=False, waiting=False
) -> list[tuple[str, int, Outcome, Cause | None]]:
    """What is decided at noon of what was due in the minutes before."""
    found = decide(
        timetable(cadence, policies=parse_policies(written)),
        after=NOW - minutes * MINUTE,
        now=NOW,
        active=active,
        waiting=waiting,
    )
    return [(f"{one.due_at:%H:%M}", one.count, one.outcome, one.cause) for one in found]


HOURLY_AT_50 = Cron(expression="50 * * * *")
HOURLY = Cron(expression="0 * * * *")


@pytest.mark.parametrize(
    ("written", "decided"),
    [
        (
            {},
            [
                ("10:50", 3, Outcome.COLLAPSED, Cause.MISSED),
                ("11:50", 1, Outcome.CATCH_UP, None),
            ],
        ),
        (
            {"missed": {"policy": "once", "window": "65m"}},
            [
                ("10:50", 3, Outcome.SKIPPED, Cause.TOO_OLD),
                ("11:50", 1, Outcome.CATCH_UP, None),
            ],
        ),
        (
            {"missed": {"policy": "all", "most": 2}},
            [
                ("09:50", 2, Outcome.SKIPPED, Cause.TOO_MANY),
                ("10:50", 1, Outcome.CATCH_UP, None),
                ("11:50", 1, Outcome.CATCH_UP, None),
            ],
        ),
        ({"missed": "skip"}, [("11:50", 4, Outcome.SKIPPED, Cause.MISSED)]),
        (
            {"pause": {"reason": "stocktaking"}},
            [("11:50", 4, Outcome.SKIPPED, Cause.PAUSED)],
        ),
        (
            {"blackouts": [{"from": "10:00", "to": "11:00"}]},
            [
                ("09:50", 2, Outcome.COLLAPSED, Cause.MISSED),
                ("10:50", 1, Outcome.SKIPPED, Cause.BLACKOUT),
                ("11:50", 1, Outcome.CATCH_UP, None),
            ],
        ),
        (
            {"blackouts": [{"from": "12:00", "to": "13:00"}]},
            [("11:50", 4, Outcome.SKIPPED, Cause.BLACKOUT)],
        ),
    ],
)
def test_what_was_missed_in_an_outage_is_caught_up_as_the_schedule_says(
    written: dict[str, Any], decided: list[Any]
):
    """R92, T14: four hours without a dispatcher, and the last firing ten minutes ago."""
    assert told(HOURLY_AT_50, written, 240) == decided


@pytest.mark.parametrize(
    ("missed", "decided"),
    [
        ("once", [("11:00", 1, Outcome.COLLAPSED), ("12:00", 1, Outcome.RUN)]),
        ("all", [("11:00", 1, Outcome.CATCH_UP), ("12:00", 1, Outcome.RUN)]),
        ("skip", [("11:00", 1, Outcome.SKIPPED), ("12:00", 1, Outcome.RUN)]),
    ],
)
def test_the_firing_of_this_minute_runs_whatever_was_missed_before(missed: str, decided: list[Any]):
    """R92."""
    assert [one[:3] for one in told(HOURLY, {"missed": missed}, 90)] == decided


@pytest.mark.parametrize(
    ("overlap", "waiting", "outcome", "cause"),
    [
        ("skip", False, Outcome.SKIPPED, Cause.OVERLAP),
        ("queue", False, Outcome.QUEUED, None),
        ("queue", True, Outcome.COLLAPSED, Cause.WAITING),
        ("cancel", False, Outcome.CANCEL_RUNNING_AND_RUN, None),
    ],
)
def test_a_firing_that_meets_a_running_execution_does_as_the_schedule_says(
    overlap: str, waiting: bool, outcome: Outcome, cause: Cause | None
):
    """R74."""
    decided = told(HOURLY, {"overlap": overlap}, 30, active=True, waiting=waiting)

    assert decided == [("12:00", 1, outcome, cause)]


def test_what_was_missed_is_not_caught_up_by_a_firing_that_is_skipped_itself():
    decided = told(HOURLY, {}, 150, active=True)

    assert decided == [("12:00", 3, Outcome.SKIPPED, Cause.OVERLAP)]


def test_each_that_is_caught_up_waits_for_the_one_that_runs():
    decided = told(HOURLY_AT_50, {"missed": "all"}, 150, active=True)

    assert [one[2] for one in decided] == [Outcome.CATCH_UP] * 3


def test_what_was_collapsed_names_the_firing_that_stands_for_it():
    collapsed, caught_up = decide(
        timetable(HOURLY_AT_50), after=NOW - 240 * MINUTE, now=NOW, active=False
    )

    assert collapsed.into == caught_up.due_at
    assert (collapsed.first_due_at, collapsed.count) == (NOW - 190 * MINUTE, 3)


def test_a_turn_that_is_a_little_late_is_on_time():
    for minutes, outcome in ((4, Outcome.RUN), (5, Outcome.RUN), (6, Outcome.SKIPPED)):
        (decision,) = decide(
            timetable(Daily(), policies=parse_policies({"missed": "skip"})),
            after=NOW - timedelta(days=1),
            now=datetime(2026, 7, 1, 2, minutes, tzinfo=UTC),
            active=False,
        )
        assert decision.outcome is outcome, minutes


def test_many_firings_never_start_as_one():
    first = NOW - 10 * MINUTE
    many = Firing(due_at=NOW, at=NOW, first_due_at=first, count=11)

    with pytest.raises(ValueError, match="11 firings cannot start as one"):
        decide_missed([many], Policies(), zone=timetable(Daily()).local, now=NOW, active=False)


@pytest.mark.parametrize("missed", list(MissedPolicy))
def test_a_schedule_that_was_off_for_a_year_is_decided_on_in_a_moment(missed: MissedPolicy):
    written = {"missed": {"policy": missed, "most": 1000}}
    schedule = timetable(Every(minutes=1), policies=parse_policies(written))

    found = decide(schedule, after=NOW - timedelta(days=365), now=NOW, active=False)

    assert sum(decision.count for decision in found) == 365 * 1440
    assert len(found) == (1002 if missed is MissedPolicy.ALL else 2)


def test_a_pause_that_began_during_an_outage_bars_what_was_missed_before_it():
    paused = Policies(pause=Pause(reason="stocktaking", until=NOW + MINUTE))

    (decision,) = decide(
        timetable(HOURLY, policies=paused), after=NOW - 150 * MINUTE, now=NOW, active=False
    )

    assert decision.cause is Cause.PAUSED
    assert "stocktaking" in decision.reason


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({}, "blackout: every day"),
        ({"days": ["sun", "wed"]}, "blackout: wed, sun"),
        ({"from": "22:00", "to": "13:00"}, "blackout: every day 22:00 to 13:00"),
        ({"from": "2026-06-30", "to": "2026-07-01"}, "blackout: 2026-06-30 to 2026-07-01"),
    ],
)
def test_a_blackout_is_told_by_its_days_and_times(written: dict[str, Any], reason: str):
    schedule = timetable(HOURLY, policies=parse_policies({"blackouts": [written]}))

    (decision,) = decide(schedule, after=NOW - MINUTE, now=NOW, active=False)

    assert decision.reason == reason


def test_what_was_missed_exactly_the_window_ago_is_caught_up():
    window = {"missed": {"policy": "all", "window": "70m"}}

    decided = told(HOURLY_AT_50, window, 240)

    assert decided == [
        ("09:50", 2, Outcome.SKIPPED, Cause.TOO_OLD),
        ("10:50", 1, Outcome.CATCH_UP, None),
        ("11:50", 1, Outcome.CATCH_UP, None),
    ]


def test_what_is_left_to_one_that_waits_already_names_no_instant_of_its_own():
    queue = timetable(HOURLY, policies=parse_policies({"overlap": "queue"}))

    decided = decide(queue, after=NOW - 150 * MINUTE, now=NOW, active=True, waiting=True)

    assert [(one.outcome, one.into) for one in decided] == [
        (Outcome.COLLAPSED, None),
        (Outcome.COLLAPSED, None),
    ]


@pytest.mark.parametrize(("keep", "starting"), [(0, 0), (2, 2), (3, 3), (4, 3), (9, 3)])
def test_of_what_would_start_the_latest_are_kept(keep: int, starting: int):
    """R134."""
    each = timetable(HOURLY_AT_50, policies=parse_policies({"missed": "all"}))
    decided = decide(each, after=NOW - 150 * MINUTE, now=NOW, active=False)

    found = refused(decided, keep=keep, cause=Cause.QUOTA, reason="quota")

    kept = [one.due_at for one in decided][3 - starting :]
    assert [one.due_at for one in found if one.outcome.starts] == kept
    assert sum(one.count for one in found) == 3
