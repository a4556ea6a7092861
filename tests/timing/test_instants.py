"""When cadences fire: on the days and at the times that were chosen."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sync_pipelines.model.cadence import (
    Cadence,
    ClockChange,
    Cron,
    Daily,
    Every,
    Hourly,
    Manual,
    Realtime,
    parse_cadence,
)
from sync_pipelines.timing.instants import instants, next_instant
from tests.timing.readings import ANCHOR, MINUTE, local_firings


@pytest.mark.parametrize(
    ("written", "after", "firings"),
    [
        (
            {"type": "weekly", "days": ["mon", "thu"], "at": ["08:30", "18:00"]},
            "2026-07-01T00:00",
            ["07-02 08:30 +0200", "07-02 18:00 +0200", "07-06 08:30 +0200"],
        ),
        (
            {"type": "monthly", "days": [31], "at": "00:00"},
            "2026-01-31T00:00",
            ["03-31 00:00 +0200", "05-31 00:00 +0200", "07-31 00:00 +0200"],
        ),
        (
            {"type": "monthly", "days": [28, "last"], "at": "12:00"},
            "2026-01-31T12:00",
            ["02-28 12:00 +0100", "03-28 12:00 +0100", "03-31 12:00 +0200"],
        ),
        (
            {"type": "cron", "cron": "0 */15 * * *"},
            "2026-07-01T00:00",
            ["07-01 15:00 +0200", "07-02 00:00 +0200", "07-02 15:00 +0200"],
        ),
        (
            {"type": "cron", "cron": "0 0 29 2 *"},
            "2026-07-01T00:00",
            ["02-29 00:00 +0100", "02-29 00:00 +0100"],
        ),
        (
            {"type": "cron", "cron": "*/20 * 1 * *"},
            "2026-07-01T23:30",
            ["07-01 23:40 +0200", "08-01 00:00 +0200", "08-01 00:20 +0200"],
        ),
    ],
)
def test_days_and_times_are_those_that_were_chosen(
    written: dict[str, Any], after: str, firings: list[str]
):
    """R2, R4, R7, T3."""
    found = local_firings(parse_cadence(written), "Europe/Berlin", after, count=len(firings))

    assert found == firings


def test_an_interval_counts_real_minutes_from_its_anchor_in_any_zone():
    """R3, R16."""
    anchor = datetime(2026, 3, 8, 8, 7, 30, tzinfo=UTC)
    cadence = Every(minutes=50)

    found = [
        list(
            instants(
                cadence,
                zone,
                ClockChange(),
                after=anchor,
                until=anchor + 150 * MINUTE,
                anchor=anchor,
            )
        )
        for zone in ("UTC", "America/Edmonton")
    ]

    assert found[0] == found[1] == [anchor + number * 50 * MINUTE for number in (1, 2, 3)]


def test_an_interval_does_not_begin_before_its_anchor():
    anchor = datetime(2026, 3, 8, tzinfo=UTC)

    first = next_instant(
        Every(minutes=15), "UTC", ClockChange(), after=anchor - timedelta(days=1), anchor=anchor
    )

    assert first == anchor


@pytest.mark.parametrize("cadence", [Realtime(), Manual()])
def test_what_no_clock_drives_has_no_next_instant(cadence: Cadence):
    """R6, R40."""
    assert next_instant(cadence, "UTC", ClockChange(), after=ANCHOR, anchor=ANCHOR) is None


def test_the_rarest_day_of_the_calendar_is_found_forty_years_ahead():
    """2100 has no 29 February: after 2072 the next on a Monday is in 2112."""
    after = datetime(2072, 3, 1, tzinfo=UTC)

    found = next_instant(
        Cron(expression="0 12 */28 2 mon#5"), "UTC", ClockChange(), after=after, anchor=after
    )

    assert found == datetime(2112, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cadence", "expected"),
    [
        (Daily(), "9999-11-20T12:00Z"),
        (Cron(expression="*/5 * * * *"), "9999-11-20T00:05Z"),
        (Cron(expression="* * 1 1 *"), None),
        (parse_cadence({"type": "monthly", "days": 31}), None),
        (Every(minutes=60 * 24 * 50), None),
    ],
)
def test_the_end_of_the_calendar_is_an_answer_and_no_crash(cadence: Cadence, expected: str | None):
    late = datetime(9999, 11, 20, tzinfo=UTC)

    found = next_instant(cadence, "Pacific/Kiritimati", ClockChange(), after=late, anchor=late)

    assert found == (datetime.fromisoformat(expected) if expected else None)


def test_times_without_a_zone_are_refused():
    naive = datetime(2026, 1, 1)  # noqa: DTZ001

    with pytest.raises(ValueError, match="after 2026-01-01T00:00:00 has no zone"):
        next_instant(Daily(), "UTC", ClockChange(), after=naive, anchor=ANCHOR)


@pytest.mark.parametrize(
    "cadence",
    [Hourly(), Every(minutes=60), Cron(expression="0 0-23 * * *"), Cron(expression="0 * * * *")],
)
def test_the_end_of_an_interval_belongs_to_it_and_its_beginning_does_not(cadence: Cadence):
    after, until = ANCHOR + timedelta(hours=3), ANCHOR + timedelta(hours=5)

    found = instants(cadence, "UTC", ClockChange(), after=after, until=until, anchor=ANCHOR)

    assert list(found) == [after + timedelta(hours=1), until]
