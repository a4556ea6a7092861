"""When cadences fire on the days on which clocks change."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from sync_pipelines.model.cadence import (
    Cadence,
    ClockChange,
    Cron,
    Daily,
    Every,
    Hourly,
    parse_cadence,
)
from sync_pipelines.timing.instants import instants, next_instant
from tests.timing.readings import MINUTE, local_firings


@pytest.mark.parametrize(
    ("after", "rules", "firings"),
    [
        ("2026-03-07T12:00", {}, ["03-08 03:00 -0600", "03-09 02:00 -0600"]),
        ("2026-03-07T12:00", {"missing": "skip"}, ["03-09 02:00 -0600", "03-10 02:00 -0600"]),
        ("2026-10-31T12:00", {}, ["11-01 02:00 -0600", "11-02 02:00 -0600"]),
    ],
)
def test_two_in_the_morning_in_edmonton_runs_every_day(
    after: str, rules: dict[str, str], firings: list[str]
):
    """R8, R14, T2: both defaults of the documents meet in the gap of 2026-03-08."""
    assert local_firings(Daily(), "America/Edmonton", after, count=2, **rules) == firings


@pytest.mark.parametrize(
    ("zone", "after", "rules", "firings"),
    [
        ("America/Denver", "2026-10-31T12:00", {}, ["11-01 01:30 -0600", "11-02 01:30 -0700"]),
        (
            "America/Denver",
            "2026-10-31T12:00",
            {"doubled": "second"},
            ["11-01 01:30 -0700", "11-02 01:30 -0700"],
        ),
        (
            "America/Denver",
            "2026-10-31T12:00",
            {"doubled": "both"},
            ["11-01 01:30 -0600", "11-01 01:30 -0700"],
        ),
        ("America/Edmonton", "2025-11-01T12:00", {}, ["11-02 01:30 -0600", "11-03 01:30 -0700"]),
        ("America/Edmonton", "2026-10-31T12:00", {}, ["11-01 01:30 -0600", "11-02 01:30 -0600"]),
    ],
)
def test_a_time_that_happens_twice_fires_once_unless_both_are_asked_for(
    zone: str, after: str, rules: dict[str, str], firings: list[str]
):
    """R14. In Edmonton no time happens twice in November 2026: Alberta keeps summer time."""
    cadence = parse_cadence({"type": "daily", "at": "01:30"})

    assert local_firings(cadence, zone, after, count=2, **rules) == firings


def test_times_that_happen_twice_keep_their_order_when_both_are_asked_for():
    cadence = parse_cadence({"type": "daily", "at": ["01:00", "01:30"]})

    firings = local_firings(cadence, "America/Denver", "2026-10-31T12:00", count=4, doubled="both")

    assert firings == [
        "11-01 01:00 -0600",
        "11-01 01:30 -0600",
        "11-01 01:00 -0700",
        "11-01 01:30 -0700",
    ]


@pytest.mark.parametrize(
    ("minutes_past_one", "doubled", "following"),
    [
        (45, "first", "2026-11-02T08:30Z"),
        (45, "second", "2026-11-01T08:30Z"),
        (45, "both", "2026-11-01T08:30Z"),
        (15, "first", "2026-11-01T07:30Z"),
        (15, "second", "2026-11-01T08:30Z"),
        (105, "second", "2026-11-02T08:30Z"),
    ],
)
def test_from_within_the_doubled_hour_the_following_one_is_found(
    minutes_past_one: int, doubled: Any, following: str
):
    cadence = parse_cadence({"type": "daily", "at": "01:30"})
    after = datetime(2026, 11, 1, 7, tzinfo=UTC) + minutes_past_one * MINUTE

    found = next_instant(
        cadence, "America/Denver", ClockChange(doubled=doubled), after=after, anchor=after
    )

    assert found == datetime.fromisoformat(following)


def test_several_times_in_one_gap_fire_once_together():
    firings = local_firings("0,20,40 2 * * *", "America/Edmonton", "2026-03-07T12:00", count=2)

    assert firings == ["03-08 03:00 -0600", "03-09 02:00 -0600"]


@pytest.mark.parametrize(
    ("cadence", "after", "firings"),
    [
        (
            Daily(),
            "2026-10-03T12:00",
            ["10-04 02:30 +1100", "10-05 02:00 +1100", "10-06 02:00 +1100"],
        ),
        (
            parse_cadence({"type": "daily", "at": "01:45"}),
            "2026-04-04T12:00",
            ["04-05 01:45 +1100", "04-06 01:45 +1030", "04-07 01:45 +1030"],
        ),
        (
            "*/15 * * * *",
            "2026-10-04T01:30",
            ["10-04 01:45 +1030", "10-04 02:30 +1100", "10-04 02:45 +1100"],
        ),
        (
            "*/15 * * * *",
            "2026-04-05T01:30",
            ["04-05 01:45 +1100", "04-05 01:30 +1030", "04-05 01:45 +1030"],
        ),
        (
            Hourly(minute=45),
            "2026-04-05T00:50",
            ["04-05 01:45 +1100", "04-05 02:45 +1030", "04-05 03:45 +1030"],
        ),
        (
            Hourly(minute=0),
            "2026-10-04T00:30",
            ["10-04 01:00 +1030", "10-04 03:00 +1100", "10-04 04:00 +1100"],
        ),
    ],
)
def test_lord_howe_changes_its_clocks_by_half_an_hour(
    cadence: Cadence | str, after: str, firings: list[str]
):
    """R14."""
    assert local_firings(cadence, "Australia/Lord_Howe", after, count=3) == firings


def test_the_day_that_samoa_left_out_fires_right_after_it():
    """R14: there was no 30 December 2011, a Friday, in Apia."""
    daily = local_firings(
        parse_cadence({"type": "daily", "at": "08:00"}), "Pacific/Apia", "2011-12-29T12:00", count=3
    )
    on_fridays = local_firings("0 8 * * 5", "Pacific/Apia", "2011-12-29T12:00", count=2)
    skipped = local_firings(
        "0 8 * * 5", "Pacific/Apia", "2011-12-29T12:00", count=1, missing="skip"
    )

    assert daily == ["12-31 00:00 +1400", "12-31 08:00 +1400", "01-01 08:00 +1400"]
    assert on_fridays == ["12-31 00:00 +1400", "01-06 08:00 +1400"]
    assert skipped == ["01-06 08:00 +1400"]


@pytest.mark.parametrize(
    ("after", "firings"),
    [
        ("2026-02-14T12:00", ["02-15 02:30 +0100", "02-16 02:30 +0000"]),
        ("2026-03-21T12:00", ["03-22 03:00 +0100", "03-23 02:30 +0100"]),
    ],
)
def test_morocco_changes_its_clocks_for_ramadan(after: str, firings: list[str]):
    """R14."""
    cadence = parse_cadence({"type": "daily", "at": "02:30"})

    assert local_firings(cadence, "Africa/Casablanca", after, count=2) == firings


def test_midnight_fires_every_day_where_clocks_change_at_midnight():
    """R14, T1."""
    midnight = parse_cadence({"type": "daily", "at": "00:00"})

    spring = local_firings(midnight, "Africa/Cairo", "2026-04-23T12:00", count=2)
    autumn = local_firings(midnight, "Africa/Cairo", "2026-10-28T12:00", count=3)

    assert spring == ["04-24 01:00 +0300", "04-25 00:00 +0300"]
    assert autumn == ["10-29 00:00 +0300", "10-30 00:00 +0200", "10-31 00:00 +0200"]


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("America/Edmonton", "2026-03-07T12:00Z"),
        ("America/Denver", "2026-10-31T12:00Z"),
        ("Africa/Casablanca", "2026-02-14T12:00Z"),
        ("Africa/Casablanca", "2026-03-21T12:00Z"),
        ("Africa/Cairo", "2026-10-29T00:00Z"),
        ("Pacific/Apia", "2011-12-29T12:00Z"),
    ],
)
@pytest.mark.parametrize(
    ("cadence", "minutes"),
    [
        (Cron(expression="*/15 * * * *"), 15),
        (Cron(expression="* * * * *"), 1),
        (Cron(expression="30 * * * *"), 60),
        (Hourly(minute=10), 60),
        (Every(minutes=45), 45),
    ],
)
@pytest.mark.parametrize("doubled", ["first", "second", "both"])
def test_what_keeps_going_has_no_silence_and_no_double_through_a_clock_change(
    cadence: Cadence, minutes: int, zone: str, start: str, doubled: Any
):
    """R3, R14."""
    after = datetime.fromisoformat(start)
    rules = ClockChange(doubled=doubled)

    found = list(
        instants(cadence, zone, rules, after=after, until=after + timedelta(days=2), anchor=after)
    )

    assert len(found) == 2 * 24 * 60 // minutes
    assert {later - earlier for earlier, later in pairwise(found)} == {minutes * MINUTE}


def test_a_clock_set_back_over_midnight_returns_to_the_day_before():
    """St. John's set its clocks back at 00:01 until 2011, from Sunday to Saturday."""
    firings = local_firings("*/30 * * * 6", "America/St_Johns", "2010-11-06T22:45", count=4)

    assert firings == [
        "11-06 23:00 -0230",
        "11-06 23:30 -0230",
        "11-06 23:30 -0330",
        "11-13 00:00 -0330",
    ]
