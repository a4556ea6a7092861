"""The next firings as a form shows them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sync_pipelines.model.cadence import Cadence, ClockChange, Daily, Every, Realtime, parse_cadence
from sync_pipelines.timing.instants import next_instant
from sync_pipelines.timing.preview import Preview, preview
from sync_pipelines.timing.zones import find_zone


def firings(
    cadence: Cadence, zone: str, after: str, *, count: int = 5, **rules: Any
) -> tuple[Preview, ...]:
    start = datetime.fromisoformat(after).replace(tzinfo=find_zone(zone))
    return preview(cadence, zone, ClockChange(**rules), after=start, anchor=start, count=count)


def test_five_firings_are_shown_in_utc_and_on_the_clocks_of_the_zone():
    """R12, R21."""
    found = firings(Daily(), "Europe/Berlin", "2026-07-01T12:00")

    assert [f"{firing.local:%m-%d %H:%M %Z}" for firing in found] == [
        f"07-0{day} 02:00 CEST" for day in (2, 3, 4, 5, 6)
    ]
    assert all(firing.at == firing.local and firing.at.tzinfo is UTC for firing in found)
    assert [firing.note for firing in found] == [None] * 5


def test_the_first_firing_shown_is_the_one_that_will_be_dispatched():
    """R12."""
    after = datetime(2026, 3, 7, 12, tzinfo=UTC)

    shown = preview(Daily(), "America/Edmonton", ClockChange(), after=after, anchor=after)

    assert shown[0].at == next_instant(
        Daily(), "America/Edmonton", ClockChange(), after=after, anchor=after
    )


def test_what_no_clock_drives_has_nothing_to_show():
    assert firings(Realtime(), "UTC", "2026-07-01T12:00") == ()


@pytest.mark.parametrize(
    ("written", "zone", "after", "rules", "local", "note"),
    [
        (
            {"type": "daily"},
            "America/Edmonton",
            "2026-03-07T12:00",
            {},
            "2026-03-08 03:00:00-06:00",
            "02:00 does not exist on 2026-03-08: clocks go forward from 02:00 to 03:00;"
            " fires once, right after",
        ),
        (
            {"type": "daily"},
            "America/Edmonton",
            "2026-03-07T12:00",
            {"missing": "skip"},
            "2026-03-09 02:00:00-06:00",
            "02:00 does not exist on 2026-03-08: clocks go forward from 02:00 to 03:00; skipped",
        ),
        (
            {"type": "daily", "at": ["02:00", "02:30", "03:00"]},
            "America/Edmonton",
            "2026-03-07T12:00",
            {"missing": "skip"},
            "2026-03-08 03:00:00-06:00",
            "02:00 and 02:30 do not exist on 2026-03-08: clocks go forward from 02:00 to 03:00;"
            " skipped",
        ),
        (
            {"type": "cron", "cron": "*/5 2 * * *"},
            "America/Edmonton",
            "2026-03-07T12:00",
            {},
            "2026-03-08 03:00:00-06:00",
            "02:00 to 02:55 do not exist on 2026-03-08: clocks go forward from 02:00 to 03:00;"
            " fires once, right after",
        ),
        (
            {"type": "daily", "at": "01:30"},
            "America/Denver",
            "2026-10-31T12:00",
            {"doubled": "second"},
            "2026-11-01 01:30:00-07:00",
            "01:30 happens twice on this day: clocks go back from 02:00 to 01:00;"
            " this is the second",
        ),
        (
            {"type": "daily", "at": "12:00"},
            "America/Denver",
            "2026-10-31T13:00",
            {},
            "2026-11-01 12:00:00-07:00",
            "clocks go back from 02:00 to 01:00 on this day",
        ),
        (
            {"type": "daily", "at": "08:00"},
            "Pacific/Apia",
            "2011-12-29T12:00",
            {},
            "2011-12-31 00:00:00+14:00",
            "08:00 does not exist on 2011-12-30: clocks go forward from 2011-12-30 00:00"
            " to 2011-12-31 00:00; fires once, right after",
        ),
        (
            {"type": "daily", "at": "23:30"},
            "America/Nuuk",
            "2025-03-29T12:00",
            {},
            "2025-03-30 00:00:00-01:00",
            "23:30 does not exist on 2025-03-29: clocks go forward from 2025-03-29 23:00"
            " to 2025-03-30 00:00; fires once, right after",
        ),
        (
            {"type": "hourly"},
            "America/Edmonton",
            "2026-03-08T01:30",
            {},
            "2026-03-08 03:00:00-06:00",
            "clocks go forward from 02:00 to 03:00 on this day",
        ),
    ],
)
def test_days_on_which_clocks_change_are_marked_with_what_that_does(
    written: dict[str, Any], zone: str, after: str, rules: dict[str, str], local: str, note: str
):
    """R12, R14, T2."""
    (firing,) = firings(parse_cadence(written), zone, after, count=1, **rules)

    assert str(firing.local) == local
    assert firing.note == note


def test_a_missing_time_is_told_once_on_its_day():
    cadence = parse_cadence({"type": "daily", "at": ["02:00", "12:00"]})

    found = firings(cadence, "America/Edmonton", "2026-03-07T13:00", count=2)

    assert [(firing.note or "").partition(":")[0] for firing in found] == [
        "02",
        "clocks go forward from 02",
    ]


def test_both_of_a_doubled_time_are_told_apart():
    cadence = parse_cadence({"type": "daily", "at": "01:30"})

    found = firings(cadence, "America/Denver", "2026-10-31T12:00", count=3, doubled="both")

    assert [(firing.note or "").rpartition("; ")[2] for firing in found] == [
        "this is the first",
        "this is the second",
        "",
    ]


def test_an_interval_is_shown_on_the_clocks_of_the_zone_too():
    found = firings(Every(minutes=360), "America/Denver", "2026-11-01T00:00", count=2)

    assert [str(firing.local) for firing in found] == [
        "2026-11-01 05:00:00-07:00",
        "2026-11-01 11:00:00-07:00",
    ]
