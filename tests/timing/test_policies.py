"""Policies as data: what a tenant may write, and what the refusal says."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given

from sync_pipelines.model.blackout import DateBlackout, WeeklyBlackout
from sync_pipelines.model.cadence import CadenceError, Weekday
from sync_pipelines.model.policy import (
    Missed,
    MissedPolicy,
    Overlap,
    Pause,
    Policies,
    Priority,
    parse_policies,
    policies_mapping,
)
from tests.timing import strategies

MOMENT = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_policies_are_read_as_written():
    """R5, R72, R92, T14."""
    policies = parse_policies(
        {
            "overlap": "queue",
            "missed": {"policy": "all", "most": 5, "window": "6h"},
            "spread": "10m",
            "blackouts": [
                {"days": ["sun", "sat"], "from": "22:00", "to": "06:00"},
                {"days": "mon"},
                {"from": "2026-12-24", "to": date(2026, 12, 26)},
                {"from": "2027-01-01"},
            ],
            "starts_at": "2026-02-01T00:00:00+01:00",
            "ends_at": datetime(2027, 2, 1, tzinfo=UTC),
            "pause": {"reason": "stocktaking", "until": "2026-03-01T00:00:00Z"},
            "priority": "high",
        }
    )

    assert policies == Policies(
        overlap=Overlap.QUEUE,
        missed=Missed(policy=MissedPolicy.ALL, most=5, window=timedelta(hours=6)),
        spread=timedelta(minutes=10),
        blackouts=(
            WeeklyBlackout(days=(Weekday.SAT, Weekday.SUN), start=time(22), end=time(6)),
            WeeklyBlackout(days=(Weekday.MON,)),
            DateBlackout(first_on=date(2026, 12, 24), last_on=date(2026, 12, 26)),
            DateBlackout(first_on=date(2027, 1, 1), last_on=date(2027, 1, 1)),
        ),
        starts_at=datetime(2026, 1, 31, 23, tzinfo=UTC),
        ends_at=datetime(2027, 2, 1, tzinfo=UTC),
        pause=Pause(reason="stocktaking", until=datetime(2026, 3, 1, tzinfo=UTC)),
        priority=Priority.HIGH,
    )


def test_without_policies_overlaps_are_skipped_and_what_was_missed_runs_once():
    assert parse_policies({}) == Policies()
    assert policies_mapping(Policies()) == {}
    assert parse_policies({"missed": "once", "spread": "exact", "pause": None}) == Policies()


@pytest.mark.parametrize(
    ("written", "field", "says"),
    [
        ("skip", "policies", "policies 'skip' is wrong"),
        ({"overlaps": "skip"}, "overlaps", "it takes overlap, missed"),
        ({"overlap": "wait"}, "overlap", "write one of skip, queue, cancel"),
        ({"missed": "never"}, "missed", "write one of once, all, skip"),
        ({"missed": {"policy": "all", "most": 0}}, "most", "a whole number 1 to 1000"),
        ({"missed": {"window": "5"}}, "window", "write it as 15m, 6h or 1d"),
        ({"missed": {"window": "4m"}}, "window", "whole minutes, 5 to 366d"),
        ({"spread": 10}, "spread", "spread 10 is wrong; write it as 15m, 6h or 1d, at most 12h"),
        ({"spread": "13h"}, "spread", "at most 12h"),
        ({"blackouts": "nights"}, "blackouts", "blackouts 'nights' is wrong"),
        ({"blackouts": [{"day": "mon"}]}, "day", "it takes days, from, to"),
        ({"blackouts": [{"days": []}]}, "days", "days of a blackout is empty"),
        ({"blackouts": [{"days": ["moon"]}]}, "days", "'moon', which is not a weekday"),
        ({"blackouts": [{"from": "24:00"}]}, "from", "from '24:00' is not a time of day"),
        ({"blackouts": [{"from": "2026-02-30"}]}, "from", "from '2026-02-30' is not a date"),
        (
            {"blackouts": [{"from": "2026-12-24", "to": "2026-12-23"}]},
            "to",
            "to 2026-12-23 of a blackout is before its from",
        ),
        ({"blackouts": [{"days": "mon"}] * 51}, "blackouts", "at most 50"),
        ({"starts_at": "2026-02-01"}, "starts_at", "write it with its offset from UTC"),
        ({"starts_at": "2026-02-01T00:00:00"}, "starts_at", "is not an instant"),
        ({"ends_at": 5}, "ends_at", "ends_at 5 is not an instant"),
        (
            {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z"},
            "ends_at",
            "is not after starts_at",
        ),
        ({"pause": {}}, "reason", "say why"),
        ({"pause": {"reason": " "}}, "reason", "say why"),
        ({"pause": True}, "pause", "pause True is wrong; write keys and values"),
        ({"pause": {"reason": "x", "until": "friday"}}, "until", "until 'friday' is not"),
        ({"priority": 1}, "priority", "write one of high, normal, low"),
    ],
)
def test_a_refusal_names_the_key_the_wrong_value_and_the_right_ones(
    written: object, field: str, says: str
):
    """R11, R32."""
    with pytest.raises(CadenceError) as caught:
        parse_policies(written)

    assert caught.value.field == field
    assert says in str(caught.value)


@given(strategies.policies_about(MOMENT))
def test_policies_survive_being_stored_as_json(policies: Policies):
    """R27."""
    stored = json.dumps(policies_mapping(policies))

    assert parse_policies(json.loads(stored)) == policies
    assert hash(parse_policies(json.loads(stored))) == hash(policies)


NIGHT = WeeklyBlackout(days=(Weekday.SAT,), start=time(22), end=time(6))
MIDDAY = WeeklyBlackout(days=(Weekday.WED,), start=time(12), end=time(13))
WEEKEND = WeeklyBlackout(days=(Weekday.SAT, Weekday.SUN))
HOLIDAYS = DateBlackout(first_on=date(2026, 12, 24), last_on=date(2026, 12, 26))


@pytest.mark.parametrize(
    ("blackout", "wall", "expected"),
    [
        (NIGHT, "2026-07-04T21:59", False),
        (NIGHT, "2026-07-04T22:00", True),
        (NIGHT, "2026-07-05T05:59", True),
        (NIGHT, "2026-07-05T06:00", False),
        (NIGHT, "2026-07-04T05:00", False),
        (NIGHT, "2026-07-05T22:30", False),
        (MIDDAY, "2026-07-01T12:00", True),
        (MIDDAY, "2026-07-01T13:00", False),
        (MIDDAY, "2026-07-02T12:30", False),
        (WEEKEND, "2026-07-04T00:00", True),
        (WEEKEND, "2026-07-05T23:59", True),
        (WEEKEND, "2026-07-06T00:00", False),
        (WEEKEND, "2026-07-03T23:59", False),
        (HOLIDAYS, "2026-12-23T23:59", False),
        (HOLIDAYS, "2026-12-24T00:00", True),
        (HOLIDAYS, "2026-12-26T23:59", True),
        (HOLIDAYS, "2026-12-27T00:00", False),
    ],
)
def test_a_blackout_is_half_open_and_may_cross_midnight(blackout: Any, wall: str, expected: bool):
    assert blackout.covers(datetime.fromisoformat(wall)) is expected


def test_the_days_of_a_blackout_are_kept_in_order_and_once():
    blackout = WeeklyBlackout(days=(Weekday.SUN, Weekday.MON, Weekday.MON))

    assert blackout.days == (Weekday.MON, Weekday.SUN)
