"""Alerts by threshold: R124."""

from datetime import timedelta

import pytest

from sync_pipelines.catalog import incidents, tenants
from sync_pipelines.catalog.incidents import Kind
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.model.execution import Trigger
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.notification import Topic
from sync_pipelines.notify.alerts import look
from sync_pipelines.notify.thresholds import USUAL, Measure, Past, Threshold, read
from tests.world import START

MINUTE = timedelta(minutes=1)


def on(told):
    with told.catalog.begin() as db:
        return [alarm.details["measure"] for alarm in look(db, told.clock())]


def value(measure, **past):
    empty = {"outcomes": (), "durations": (), "records": (), "succeeded_at": ()}
    found = [one.value for one in read(Past(**{**empty, **past}), START) if one.measure is measure]
    return found[0] if found else None


def test_what_is_on_ends_lower_than_it_began():
    threshold = Threshold(0.2, 0.1)

    seen, is_on = [], False
    for number in (0.19, 0.2, 0.15, 0.19, 0.1, 0.09, 0.15, 0.2):
        is_on = threshold.is_on(number, was_on=is_on)
        seen.append(is_on)

    assert seen == [False, True, True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("past", "expected"),
    [([10, 2, 2, 2, 2, 2], 5.0), ([2, 2, 2, 2, 2, 2], 1.0), ([10, 2, 2], None)],
)
def test_a_duration_is_compared_with_its_own_past(past, expected):
    assert value(Measure.SLOWNESS, durations=[each * MINUTE for each in past]) == expected


def test_what_takes_seconds_is_never_slow():
    assert value(Measure.SLOWNESS, durations=[30 * MINUTE / 60] + [MINUTE / 60] * 9) == 0


@pytest.mark.parametrize(
    ("records", "expected"),
    [([0] + [1000] * 9, 1000.0), ([6000] + [1000] * 9, 6.0), ([90] + [1] * 9, 0.0)],
)
def test_records_far_from_the_usual_are_odd_either_way(records, expected):
    assert value(Measure.RECORDS, records=records) == expected


def test_data_is_stale_by_the_measure_of_how_often_it_is_fresh():
    hourly = [START - timedelta(hours=4 + each) for each in range(8)]
    daily = [START - timedelta(days=each, hours=4) for each in range(8)]

    assert value(Measure.STALENESS, succeeded_at=hourly) == 4
    assert value(Measure.STALENESS, succeeded_at=daily) < 1


def test_an_alert_is_told_once_and_its_end_too(told):
    rule = told.rule(topics=(Topic.ALERT, Topic.RECOVERED))
    for _ in range(4):
        told.succeed()
    told.fail()
    told.fail()
    told.clock.advance(minutes=1)

    first, second = on(told), on(told)
    for _ in range(18):
        told.succeed()
    still = on(told)
    told.succeed()
    told.clock.advance(minutes=1)
    after = on(told)

    assert first == second == still == [Measure.FAILURES]
    assert after == []
    # The cause of the failures has its own recovery, which is about an execution.
    by_alert = [one.topic for one in told.posted(rule) if "execution" not in one.payload]
    assert by_alert == [Topic.ALERT, Topic.RECOVERED]


def test_a_queue_that_is_long_is_told_of_its_tenant_alone(told):
    mine = told.rule(topics=(Topic.ALERT,))
    theirs = told.rule(topics=(Topic.ALERT,), tenant_id=told.sync("rival/orders").tenant_id)
    for number in range(int(USUAL[Measure.QUEUE].opens)):
        trigger(
            told.catalog,
            told.sync(f"acme/s{number % 3}"),
            now=told.clock() + timedelta(seconds=number),
            reason=Trigger.MANUAL,
            queued=True,
        )

    found = on(told)

    assert found == [Measure.QUEUE]
    assert told.topics(mine) == [Topic.ALERT]
    assert told.topics(theirs) == []


def test_a_limit_that_is_nearly_used_up_is_told_before_it_is_reached(told):
    told.sync()
    with told.catalog.begin() as db:
        found = tenants.find_tenant(db, "acme")
        limits = TenantLimits(executions_per_hour=10)
        tenants.put_limits(
            db, tenants.Tenant(id=found.id, name="acme", limits=limits), now=told.clock()
        )
    for _ in range(8):
        told.succeed()
    before = on(told)
    told.succeed()

    assert (before, on(told)) == ([], [Measure.CAPACITY])


def test_an_alert_of_a_sync_that_was_removed_is_over(told):
    for _ in range(5):
        told.fail()
    first = on(told)
    with told.catalog.begin() as db:
        db.exec_driver_sql("DELETE FROM sync.syncs")

    after = on(told)

    with told.catalog.begin() as db:
        left = incidents.open_for_all_tenants(db, kinds=[Kind.THRESHOLD])
    assert (first, after, left) == ([Measure.FAILURES], [], [])
