"""What schedules do to each other, found before they are saved."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from sync_pipelines.model.cadence import (
    Adaptive,
    After,
    Cadence,
    Condition,
    Cron,
    Daily,
    Event,
    EventTrigger,
    Every,
    Hourly,
    Manual,
    Realtime,
    parse_cadence,
)
from sync_pipelines.model.condition import Operator
from sync_pipelines.model.policy import parse_policies
from sync_pipelines.timing.clashes import Finding, Kind, Planned, Severity, find_clashes, typical
from tests.timing.strategies import timetable

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PAID = Condition(field="status", operator=Operator.EQUALS, value="paid")
LARGE = Condition(field="total", operator=Operator.GREATER, value=100)


def planned(
    cadence: Cadence,
    number: int,
    *,
    sync: str = "acme/orders",
    streams: str = "orders",
    tables: str = "",
    minutes: tuple[int, ...] = (),
    zone: str = "UTC",
    **written: Any,
) -> Planned:
    return Planned(
        timetable=timetable(cadence, zone, parse_policies(written), number=number),
        sync=sync,
        streams=frozenset(streams.split()),
        destination="warehouse",
        tables=frozenset(tables.split()),
        durations=tuple(each * MINUTE for each in minutes),
    )


def told(*schedules: Planned, **limits: int) -> list[tuple[Kind, Severity, list[int]]]:
    found = find_clashes(schedules, after=NOW, **limits)
    return [(one.kind, one.severity, [each.int for each in one.schedules]) for one in found]


CERTAIN = [(Kind.DUPLICATE, Severity.CERTAIN, [1, 2])]
LIKELY = [(Kind.DUPLICATE, Severity.LIKELY, [1, 2])]
LIKELY_BACK = [(Kind.DUPLICATE, Severity.LIKELY, [2, 1])]


@pytest.mark.parametrize(
    ("one", "other", "findings"),
    [
        (Daily(), Cron(expression="0 2 * * *"), CERTAIN),
        (Daily(), Daily(), CERTAIN),
        (Realtime(), Realtime(), CERTAIN),
        (After(sync="customers"), After(sync="customers"), CERTAIN),
        (Adaptive(least=15, most=60), Adaptive(least=15, most=60), CERTAIN),
        (Every(minutes=15), Every(minutes=15), CERTAIN),
        (Daily(), Hourly(minute=0), LIKELY),
        (Hourly(minute=0), Daily(), LIKELY_BACK),
        (Every(minutes=60), Cron(expression="*/30 * * * *"), LIKELY),
        (
            Event(trigger=EventTrigger.WEBHOOK, conditions=(PAID, LARGE)),
            Event(trigger=EventTrigger.WEBHOOK, conditions=(PAID,)),
            LIKELY,
        ),
        (
            Event(trigger=EventTrigger.WEBHOOK, conditions=(LARGE,)),
            Event(trigger=EventTrigger.WEBHOOK, conditions=(PAID,)),
            [],
        ),
        (
            Event(trigger=EventTrigger.API, conditions=(PAID,)),
            Event(trigger=EventTrigger.WEBHOOK, conditions=(PAID,)),
            [],
        ),
        (Manual(), Manual(), []),
        (Realtime(), Daily(), []),
        (Daily(), parse_cadence({"type": "daily", "at": "03:00"}), []),
        (Every(minutes=7), Every(minutes=15), []),
        (Adaptive(least=15, most=60), Every(minutes=15), []),
    ],
)
def test_schedules_of_one_sync_that_fire_alike_are_duplicates(
    one: Cadence, other: Cadence, findings: list[Any]
):
    """R33, R36."""
    assert told(planned(one, 1), planned(other, 2)) == findings


def test_schedules_of_other_syncs_streams_zones_and_days_are_no_duplicates():
    """R17, R33."""
    assert told(planned(Daily(), 1), planned(Daily(), 2, sync="acme/customers")) == []
    assert told(planned(Daily(), 1), planned(Daily(), 2, streams="refunds")) == []
    assert told(planned(Daily(), 1), planned(Daily(), 2, zone="Europe/Berlin")) == []
    working_days = [{"days": ["mon", "tue", "wed", "thu", "fri"]}]
    weekend = planned(Daily(), 2, blackouts=working_days)
    assert told(planned(Daily(), 1), weekend) == LIKELY_BACK


def test_a_schedule_of_some_streams_is_likely_one_too_many_beside_one_of_all():
    part, whole = planned(Daily(), 1), planned(Daily(), 2, streams="orders refunds")

    assert told(part, whole) == LIKELY


def test_two_syncs_that_write_one_table_are_refused():
    """R34, R36, R69."""
    one = planned(Daily(), 1, tables="orders customers")
    other = planned(Hourly(minute=5), 2, sync="acme/shop", tables="orders")
    third = planned(Hourly(minute=6), 3, sync="acme/crm", tables="people")

    (found,) = find_clashes([one, other, third], after=NOW)

    assert found == Finding(
        kind=Kind.SHARED_TABLE,
        severity=Severity.CERTAIN,
        schedules=(one.id, other.id),
        message="acme/orders and acme/shop write the same table orders of warehouse",
        remedy="give each its own table or dataset",
    )


def test_two_schedules_of_one_sync_may_write_its_table():
    one, other = (planned(Hourly(minute=n), n, tables="orders") for n in (5, 6))

    assert told(one, other) == []


def test_an_execution_that_takes_longer_than_its_interval_is_warned_of():
    """R34."""
    schedule = planned(Every(minutes=15), 1, minutes=(5, 20, 5, 5), overlap="queue")

    (found,) = find_clashes([schedule], after=NOW)

    assert (found.kind, found.severity) == (Kind.OVERLAP, Severity.LIKELY)
    assert found.message == (
        "executions of acme/orders take up to 20 minutes, and the next is due 15 minutes"
        " after one starts; so it is with 767 of the next 768, which wait"
    )
    assert found.remedy == "leave at least 20 minutes between firings"


def test_overlaps_are_found_between_the_schedules_of_a_sync_and_not_guessed_without_measures():
    near, too_few = (10, 10, 10), (10, 10)
    daily, later = Daily(), Cron(expression="5 2 * * *")

    assert told(planned(daily, 1, minutes=near), planned(later, 2)) == [
        (Kind.OVERLAP, Severity.LIKELY, [1, 2])
    ]
    assert told(planned(daily, 1, minutes=too_few), planned(later, 2)) == []
    assert told(planned(daily, 1, minutes=near), planned(later, 2, sync="acme/b")) == []


def test_more_starts_at_once_than_a_limit_allows_are_warned_of():
    """R35, R73, R134."""
    daily = [planned(Daily(), n, sync=f"acme/s{n}") for n in (1, 2, 3)]
    spread = [planned(Daily(), n, sync=f"acme/s{n}", spread="12h") for n in (1, 2, 3)]

    (found,) = find_clashes(daily, after=NOW, most_at_once=2)

    assert (found.kind, found.severity, len(found.schedules)) == (Kind.LIMIT, Severity.LIKELY, 3)
    assert found.message == (
        "3 executions would run at once at 2026-07-02 02:00 UTC; at most 2 may, and the others wait"
    )
    assert told(*daily, most_at_once=3) == []
    assert told(*spread, most_at_once=2) == []


def test_executions_that_last_count_for_as_long_as_they_do():
    one = planned(Daily(), 1, sync="acme/a", minutes=(50, 50, 50))
    other = planned(Cron(expression="49 2 * * *"), 2, sync="acme/b")
    after = planned(Cron(expression="50 2 * * *"), 2, sync="acme/b")

    assert [kind for kind, _, _ in told(one, other, most_at_once=1)] == [Kind.LIMIT]
    assert told(one, after, most_at_once=1) == []


def test_syncs_that_wait_for_each_other_are_refused():
    """R80."""
    one = planned(After(sync="b"), 1, sync="acme/a")
    other = planned(After(sync="acme/a"), 2, sync="acme/b")
    third = planned(After(sync="a"), 3, sync="acme/c")

    (found,) = find_clashes([third, other, one], after=NOW)

    assert (found.kind, found.severity) == (Kind.CYCLE, Severity.CERTAIN)
    assert found.schedules == (one.id, other.id)
    assert found.message.startswith("acme/a waits for acme/b waits for acme/a: none of them")


@pytest.mark.parametrize(
    ("written", "never"),
    [
        ({"blackouts": [{}]}, True),
        ({"blackouts": [{"from": "01:00", "to": "03:00"}]}, True),
        ({"blackouts": [{"from": "02:01", "to": "02:00"}]}, False),
        ({"blackouts": [{"from": "2026-07-01", "to": "2027-07-01"}]}, False),
        ({"starts_at": "2027-01-01T00:00:00Z"}, False),
        ({"starts_at": "2027-01-01T00:00:00Z", "ends_at": "2027-01-01T01:00:00Z"}, True),
        ({"pause": {"reason": "stocktaking"}}, False),
        ({"ends_at": "2026-06-01T00:00:00Z"}, False),
    ],
)
def test_a_schedule_that_could_never_start_anything_is_refused(
    written: dict[str, Any], never: bool
):
    """R32: one that is paused, or has had its time, is another matter."""
    expected = [(Kind.NEVER_STARTS, Severity.CERTAIN, [1])] if never else []

    assert told(planned(Daily(), 1, **written)) == expected


def test_the_order_of_schedules_does_not_matter():
    cadences: list[Cadence] = [Daily(), Hourly(minute=0), Daily(), Every(minutes=15)] * 2
    schedules = [
        planned(cadence, number, sync=f"acme/s{number % 3}", tables="t", minutes=(30, 30, 30))
        for number, cadence in enumerate(cadences)
    ]
    shuffled = Random(1).sample(schedules, len(schedules))

    found = find_clashes(schedules, after=NOW, most_at_once=1)

    assert {one.kind for one in found} >= {Kind.DUPLICATE, Kind.SHARED_TABLE, Kind.LIMIT}
    assert find_clashes(shuffled, after=NOW, most_at_once=1) == found


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [((), None), ((1, 2), None), ((3, 1, 2), 3), (tuple(range(1, 21)), 19), ((1,) * 39 + (99,), 1)],
)
def test_the_usual_duration_is_what_nineteen_of_twenty_stay_within(
    minutes: tuple[int, ...], expected: int | None
):
    """R22."""
    found = typical([each * MINUTE for each in minutes])

    assert found == (None if expected is None else expected * MINUTE)
