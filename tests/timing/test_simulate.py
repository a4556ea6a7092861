"""What would happen, played forward."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync_pipelines.model.cadence import After, Cadence, Cron, Daily, Every, Weekday
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.timing.decisions import Outcome
from sync_pipelines.timing.heat import heat_map, with_and_without
from sync_pipelines.timing.simulate import Occurrence, Simulated, simulate
from tests.timing.strategies import timetable

MINUTE = timedelta(minutes=1)
MIDNIGHT = datetime(2026, 7, 1, tzinfo=UTC)  # a Wednesday


def planned(
    cadence: Cadence,
    minutes: int,
    *,
    sync: str = "acme/orders",
    number: int = 1,
    zone: str = "UTC",
    **written: Any,
) -> Simulated:
    return Simulated(
        timetable=timetable(cadence, zone, parse_policies(written), number=number),
        sync=sync,
        duration=minutes * MINUTE,
    )


def played(*schedules: Simulated, hours: float = 3) -> list[tuple[str, str, str]]:
    """What is due, and from when to when it runs."""
    found = simulate(schedules, after=MIDNIGHT, until=MIDNIGHT + timedelta(hours=hours))
    return [
        (f"{one.decision.due_at:%H:%M}", str(one.decision.outcome), _runs(one)) for one in found
    ]


def _runs(one: Occurrence) -> str:
    if one.started_at is None or one.ended_at is None:
        return ""
    return f"{one.started_at:%H:%M}-{one.ended_at:%H:%M}{'!' * one.is_cancelled}"


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (
            "skip",
            [
                ("01:00", "run", "01:00-02:30"),
                ("02:00", "skipped", ""),
                ("03:00", "run", "03:00-04:30"),
            ],
        ),
        (
            "queue",
            [
                ("01:00", "run", "01:00-02:30"),
                ("02:00", "queued", "02:30-04:00"),
                ("03:00", "queued", "04:00-05:30"),
                ("04:00", "queued", "05:30-07:00"),
                ("05:00", "collapsed", ""),
            ],
        ),
        (
            "cancel",
            [
                ("01:00", "run", "01:00-02:00!"),
                ("02:00", "cancel_running_and_run", "02:00-03:00!"),
                ("03:00", "cancel_running_and_run", "03:00-04:30"),
            ],
        ),
    ],
)
def test_an_execution_longer_than_its_interval_meets_the_next(
    overlap: str, expected: list[tuple[str, str, str]]
):
    """R34, R74."""
    schedule = planned(Every(minutes=60), 90, overlap=overlap)

    found = played(schedule, hours=5 if overlap == "queue" else 3)

    assert found == expected


def test_what_ends_at_an_instant_does_not_meet_what_is_due_then():
    assert [one[1] for one in played(planned(Every(minutes=60), 60))] == ["run"] * 3


def test_schedules_of_one_sync_meet_each_other_and_those_of_others_do_not():
    hourly, late = Every(minutes=60), Cron(expression="10 2 * * *")

    together = played(planned(hourly, 20), planned(late, 20, number=2))
    apart = played(planned(hourly, 20), planned(late, 20, number=2, sync="acme/customers"))

    assert ("02:10", "skipped", "") in together
    assert ("02:10", "run", "02:10-02:30") in apart


def test_a_sync_that_waits_for_another_starts_when_that_has_ended():
    """R80."""
    found = played(
        planned(Daily(), 90),
        planned(After(sync="orders"), 30, sync="acme/report", number=2),
        planned(After(sync="acme/report"), 5, sync="acme/mail", number=3),
        hours=5,
    )

    assert found == [
        ("02:00", "run", "02:00-03:30"),
        ("03:30", "run", "03:30-04:00"),
        ("04:00", "run", "04:00-04:05"),
    ]


def test_a_cancelled_execution_starts_nothing_that_waits_for_it():
    found = played(
        planned(Every(minutes=60), 90, overlap="cancel"),
        planned(After(sync="orders"), 5, sync="acme/report", number=2),
        hours=4.5,
    )

    assert [one for one in found if one[2].endswith("05")] == []
    assert found[-1] == ("04:00", "cancel_running_and_run", "04:00-05:30")


def test_a_barred_firing_is_listed_with_its_reason():
    found = simulate(
        [planned(Every(minutes=60), 5, blackouts=[{"from": "01:30", "to": "02:30"}])],
        after=MIDNIGHT,
        until=MIDNIGHT + timedelta(hours=3),
    )

    assert [one.decision.outcome for one in found] == [Outcome.RUN, Outcome.SKIPPED, Outcome.RUN]
    assert found[1].decision.reason == "blackout: every day 01:30 to 02:30"


def test_a_year_of_a_schedule_marks_the_days_on_which_clocks_change():
    """R12, R14."""
    found = simulate(
        [planned(Daily(), 5, zone="Europe/Berlin")],
        after=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2027, 1, 1, tzinfo=UTC),
    )

    assert len(found) == 365
    assert [f"{one.decision.due_at:%m-%d}" for one in found if one.note] == ["03-29", "10-25"]


def test_the_load_is_laid_on_the_hours_of_the_week_as_the_zone_shows_them():
    """R81, R121."""
    schedule = planned(Cron(expression="30 9 * * *"), 75, zone="America/Denver")
    found = simulate([schedule], after=MIDNIGHT, until=MIDNIGHT + timedelta(days=14))

    heat = heat_map(found, "Asia/Kolkata")

    assert heat.cell(Weekday.WED, 21).starts == 2
    assert heat.cell(Weekday.WED, 21).busy == 2 * 60 * MINUTE
    assert heat.cell(Weekday.WED, 22).busy_seconds == 2 * 15 * 60
    assert heat.cell(Weekday.WED, 22).starts == 0
    assert heat.busiest.busy == 2 * 60 * MINUTE
    assert sum(cell.starts for row in heat.cells for cell in row) == 14


def test_an_hour_shown_twice_counts_for_both():
    schedule = planned(Cron(expression="0 0 * * 0"), 240, zone="Europe/Berlin")
    october = datetime(2026, 10, 24, 12, tzinfo=UTC)

    heat = heat_map(
        simulate([schedule], after=october, until=october + timedelta(days=1)), "Europe/Berlin"
    )

    assert [heat.cell(Weekday.SUN, hour).busy // MINUTE for hour in range(4)] == [60, 60, 120, 0]


def test_what_a_schedule_adds_includes_what_it_keeps_from_running():
    slow = planned(Every(minutes=120), 90)
    quick = planned(Cron(expression="0 * * * *"), 10, number=2)

    found = with_and_without(
        [slow, quick],
        slow.timetable.id,
        after=MIDNIGHT,
        until=MIDNIGHT + timedelta(hours=4),
        zone="UTC",
    )

    assert found.with_it.cell(Weekday.WED, 2).busy == 60 * MINUTE
    assert found.without_it.cell(Weekday.WED, 2).busy == 10 * MINUTE
    assert found.with_it.cell(Weekday.WED, 2).starts == 1
    assert found.without_it.cell(Weekday.WED, 3).starts == 1


def test_without_executions_there_is_no_load():
    heat = heat_map((), "UTC")

    assert heat.busiest.busy == timedelta(0)
    assert len(heat.cells) == 7
    assert {len(row) for row in heat.cells} == {24}


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("03:15", ("03:30", "run", "03:30-04:00")),
        ("03:45", ("03:30", "skipped", "")),
    ],
)
def test_a_spread_that_would_start_a_follower_before_it_may_lets_it_start_at_once(
    ends: str, expected: tuple[str, str, str]
):
    """R80: it is judged when it would start, as the dispatcher judges it, not before."""
    follower = planned(
        After(sync="orders"),
        30,
        sync="acme/report",
        number=4,
        spread="30m",
        blackouts=[{"from": "03:00", "to": ends}],
    )
    assert follower.timetable.offset == -18 * MINUTE

    found = played(planned(Daily(), 90), follower, hours=5)

    assert found == [("02:00", "run", "02:00-03:30"), expected]
