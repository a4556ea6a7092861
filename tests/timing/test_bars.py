"""What policies bar, looked at instant by instant and in pieces."""

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync_pipelines.model.blackout import WeeklyBlackout
from sync_pipelines.model.policy import Pause, Policies, parse_policies
from sync_pipelines.timing import bars
from sync_pipelines.timing.bars import TICK, Bar, Cause, bar_at, pieces
from sync_pipelines.timing.zones import find_zone
from tests.timing import strategies
from tests.timing.test_laws import near_changes

laws = settings(deadline=None, max_examples=150)


@given(st.data(), near_changes(), st.timedeltas(timedelta(0), timedelta(days=12)))
@laws
def test_pieces_bar_what_is_barred_at_each_instant_of_them(
    data: st.DataObject, near: tuple[str, datetime], span: timedelta
):
    zone, after = find_zone(near[0]), near[1]
    policies = data.draw(strategies.policies_about(after))

    found = list(pieces(policies, zone, after=after, until=after + span))

    assert [piece.until for piece in found[:-1]] == [piece.after for piece in found[1:]]
    assert all(early.bar != late.bar for early, late in pairwise(found))
    assert not span or (found[0].after, found[-1].until) == (after, after + span)
    for piece in found:
        inside = data.draw(
            st.datetimes(
                (piece.after + TICK).replace(tzinfo=None), piece.until.replace(tzinfo=None)
            )
        )
        for at in (piece.after + TICK, inside.replace(tzinfo=UTC), piece.until):
            assert bar_at(policies, zone, at) == piece.bar


@pytest.mark.parametrize(
    ("wall", "fold", "is_barred"),
    [
        ("2026-03-28T23:00", 0, True),
        ("2026-03-29T01:59", 0, True),
        ("2026-03-29T03:00", 0, False),
        ("2026-10-25T01:59", 0, True),
        ("2026-10-25T02:29", 0, True),
        ("2026-10-25T02:30", 0, False),
        ("2026-10-25T02:00", 1, True),
        ("2026-10-25T02:30", 1, False),
    ],
)
def test_a_blackout_follows_the_clock_on_the_wall_through_a_change(
    wall: str, fold: int, is_barred: bool
):
    """In Berlin 02:00 to 03:00 is left out in March and shown twice in October."""
    berlin = find_zone("Europe/Berlin")
    policies = Policies(blackouts=(WeeklyBlackout(start=time(22), end=time(2, 30)),))
    at = datetime.fromisoformat(wall).replace(tzinfo=berlin, fold=fold).astimezone(UTC)

    assert (bar_at(policies, berlin, at) is not None) is is_barred


@pytest.mark.parametrize(
    "written",
    [
        {"ends_at": "2026-01-01T00:00:00Z"},
        {"starts_at": "2090-01-01T00:00:00Z"},
        {"pause": {"reason": "stocktaking"}},
    ],
)
def test_blackouts_are_not_looked_at_while_another_bar_stands(written: dict[str, Any]):
    """Half a century of them took a second, in which a dispatcher held the schedule."""
    policies = parse_policies({"blackouts": [{"from": "22:00", "to": "06:00"}], **written})
    after = datetime(2026, 7, 1, tzinfo=UTC)

    begun = perf_counter()
    found = list(pieces(policies, find_zone("UTC"), after=after, until=after + timedelta(18_300)))
    seconds = perf_counter() - begun

    assert len(found) == 1
    assert seconds < 0.05


@pytest.mark.parametrize(
    ("written", "turns"),
    [
        ([{"from": "2020-12-24", "to": "2020-12-26"}], []),
        (
            [{"from": "2050-12-24", "to": "2050-12-26"}, {"from": "2021-01-01"}],
            ["2050-12-24T00:00", "2050-12-27T00:00"],
        ),
        ([{"from": "2026-06-01", "to": "2060-05-31"}], ["2060-06-01T00:00"]),
    ],
)
def test_dates_far_away_are_not_walked_to_day_by_day(
    written: list[dict[str, str]], turns: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A schedule with a Christmas long past cost its dispatcher half a century of midnights."""
    berlin, after = find_zone("Europe/Berlin"), datetime(2026, 7, 1, tzinfo=UTC)
    asked: list[datetime] = []

    def counted(policies: Policies, zone: ZoneInfo, at: datetime) -> Bar | None:
        asked.append(at)
        return bar_at(policies, zone, at)

    monkeypatch.setattr(bars, "bar_at", counted)
    policies = parse_policies({"blackouts": written})

    found = list(pieces(policies, berlin, after=after, until=after + timedelta(18_300)))

    changes = [(piece.after + TICK).astimezone(berlin) for piece in found[1:]]
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in changes] == turns
    assert len(asked) < 20


def test_a_blackout_up_to_the_end_of_the_calendar_is_one():
    policies = parse_policies({"blackouts": [{"from": "2026-01-01", "to": "9999-12-31"}]})
    after = datetime(2026, 7, 1, tzinfo=UTC)

    (piece,) = pieces(policies, find_zone("UTC"), after=after, until=after + timedelta(18_300))

    assert piece.bar is not None


def test_dates_are_half_open_and_every_reason_is_told_in_local_time():
    """R25."""
    first, last = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    pause = Pause(reason="stocktaking", until=datetime(2026, 2, 10, tzinfo=UTC))
    policies = Policies(starts_at=first, ends_at=last, pause=pause)
    berlin = find_zone("Europe/Berlin")

    def told(at: datetime) -> tuple[Cause, str] | None:
        bar = bar_at(policies, berlin, at)
        return (bar.cause, bar.reason) if bar else None

    assert told(first - TICK) == (Cause.NOT_STARTED, "it does not begin before 2026-02-01 01:00")
    assert told(first) == (Cause.PAUSED, "paused until 2026-02-10 01:00: stocktaking")
    assert told(datetime(2026, 2, 10, tzinfo=UTC)) is None
    assert told(last - TICK) is None
    assert told(last) == (Cause.ENDED, "the schedule ended on 2026-03-01 01:00")
