"""Zones by name, and wall times on the days when clocks change."""

import copy
import pickle
from datetime import UTC, date, datetime, time, timedelta

import pytest

from sync_pipelines.model.cadence import CadenceError, ClockChange
from sync_pipelines.timing.zones import Shift, find_zone, resolve, shift_on, zone_names

HOUR = timedelta(hours=1)


def test_every_iana_zone_is_found():
    """R13."""
    names = zone_names()

    assert len(names) > 590
    assert {find_zone(name).key for name in names} == names


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("America/Edmontn", "'America/Edmonton'"),
        ("edmonton", "'America/Edmonton'"),
        ("new york", "'America/New_York'"),
        ("europe/berlin", "'Europe/Berlin'"),
        ("Buenos Aires", "'America/Argentina/Buenos_Aires'"),
        ("Mars/Olympus_Mons", "'Europe/Berlin' or 'UTC'"),
        ("../../etc/passwd", "'Europe/Berlin' or 'UTC'"),
        ("", "'Europe/Berlin' or 'UTC'"),
    ],
)
def test_an_unknown_zone_is_refused_with_those_that_are_near(name: str, suggestion: str):
    """R13, R32."""
    with pytest.raises(CadenceError) as caught:
        find_zone(name)

    assert caught.value.field == "timezone"
    assert f"timezone {name!r} is not an IANA zone" in str(caught.value)
    assert suggestion in str(caught.value)


def test_a_local_time_can_be_copied_and_sent_to_another_process():
    local = datetime(2026, 3, 8, 3, tzinfo=find_zone("America/Edmonton"))

    copies = [copy.deepcopy(local), pickle.loads(pickle.dumps(local))]

    assert [str(moment) for moment in copies] == ["2026-03-08 03:00:00-06:00"] * 2


def test_zone_data_is_the_pinned_one_which_knows_that_alberta_keeps_summer_time():
    """Older data on a machine sets Edmonton's clocks back on 2026-11-01."""
    assert shift_on(date(2026, 3, 8), find_zone("America/Edmonton")) is not None
    assert shift_on(date(2026, 11, 1), find_zone("America/Edmonton")) is None
    assert shift_on(date(2025, 11, 2), find_zone("America/Edmonton")) is not None


@pytest.mark.parametrize(
    ("zone", "day", "at", "before", "after"),
    [
        ("America/Edmonton", date(2026, 3, 8), "2026-03-08T09:00Z", -7, -6),
        ("America/Denver", date(2026, 11, 1), "2026-11-01T08:00Z", -6, -7),
        ("Australia/Lord_Howe", date(2026, 10, 4), "2026-10-03T15:30Z", 10.5, 11),
        ("Australia/Lord_Howe", date(2026, 4, 5), "2026-04-04T15:00Z", 11, 10.5),
        ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00Z", -10, 14),
        ("Africa/Casablanca", date(2026, 2, 15), "2026-02-15T02:00Z", 1, 0),
        ("Africa/Casablanca", date(2026, 3, 22), "2026-03-22T02:00Z", 0, 1),
        ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00Z", 2, 3),
        ("Africa/Cairo", date(2026, 10, 29), "2026-10-29T21:00Z", 3, 2),
        ("America/Nuuk", date(2025, 3, 30), "2025-03-30T01:00Z", -2, -1),
    ],
)
def test_the_change_that_a_day_sees_is_found_to_the_second(
    zone: str, day: date, at: str, before: float, after: float
):
    """R14."""
    shift = shift_on(day, find_zone(zone))

    assert shift == Shift(at=datetime.fromisoformat(at), before=before * HOUR, after=after * HOUR)
    assert shift_on(day - timedelta(days=1), find_zone(zone)) is None
    assert shift_on(day + timedelta(days=1), find_zone(zone)) is None


@pytest.mark.parametrize(
    ("zone", "wall", "rules", "instants"),
    [
        ("America/Edmonton", "2026-03-07T02:00", {}, ["2026-03-07T09:00Z"]),
        ("America/Edmonton", "2026-03-08T02:00", {}, ["2026-03-08T09:00Z"]),
        ("America/Edmonton", "2026-03-08T02:59", {}, ["2026-03-08T09:00Z"]),
        ("America/Edmonton", "2026-03-08T02:30", {"missing": "skip"}, []),
        ("America/Edmonton", "2026-03-08T03:00", {"missing": "skip"}, ["2026-03-08T09:00Z"]),
        ("America/Denver", "2026-11-01T01:30", {}, ["2026-11-01T07:30Z"]),
        ("America/Denver", "2026-11-01T01:30", {"doubled": "second"}, ["2026-11-01T08:30Z"]),
        (
            "America/Denver",
            "2026-11-01T01:30",
            {"doubled": "both"},
            ["2026-11-01T07:30Z", "2026-11-01T08:30Z"],
        ),
        ("America/Denver", "2026-11-01T02:00", {"doubled": "both"}, ["2026-11-01T09:00Z"]),
        ("Pacific/Apia", "2011-12-30T08:00", {}, ["2011-12-30T10:00Z"]),
        ("Pacific/Apia", "2011-12-30T08:00", {"missing": "skip"}, []),
        ("Australia/Lord_Howe", "2026-10-04T02:15", {}, ["2026-10-03T15:30Z"]),
    ],
)
def test_a_wall_time_is_the_instants_that_its_rules_make_it(
    zone: str, wall: str, rules: dict[str, str], instants: list[str]
):
    """R14, T2."""
    naive = datetime.fromisoformat(wall)
    change = ClockChange(**rules)  # type: ignore[arg-type]

    found = resolve(naive.date(), naive.time(), find_zone(zone), change)

    assert [moment.isoformat() for moment in found] == [
        datetime.fromisoformat(moment).astimezone(UTC).isoformat() for moment in instants
    ]


def test_offsets_that_are_not_whole_minutes_are_exact():
    """Monrovia was 44 minutes and 30 seconds behind until 1972."""
    found = resolve(date(1971, 6, 1), time(2), find_zone("Africa/Monrovia"), ClockChange())

    assert found == (datetime(1971, 6, 1, 2, 44, 30, tzinfo=UTC),)
