"""What is told is in the outbox once the outcome is durable, and not before."""

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from random import Random
from threading import Event

import pytest
from sqlalchemy import event, text

from sync_pipelines.catalog import breakers, executions, incidents
from sync_pipelines.engine import run as running
from sync_pipelines.engine import settle as settling
from sync_pipelines.engine.aftermath import follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import claim_due, ready, trigger
from sync_pipelines.engine.outcome import ErrorClass, Failure, Outcome
from sync_pipelines.engine.run import Engine
from sync_pipelines.engine.settle import settle, settle_lost
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Channel, Topic
from sync_pipelines.model.policy import Overlap, Policies
from sync_pipelines.model.retry import RetryPolicy
from tests.engine.ending import start
from tests.engine.settling import end, run
from tests.notify.killing import in_a_process

FAILURES = (Topic.FAILURE, Topic.FIRST_FAILURE)


def started(told, key="acme/orders"):
    execution_id = trigger(told.catalog, told.sync(key), now=told.clock(), queued=True)
    start(told.world, execution_id)
    return execution_id


def found(told, execution_id):
    with told.catalog.begin() as db:
        return executions.lock_for_all_tenants(db, execution_id)


def open_incidents(told):
    with told.catalog.begin() as db:
        return incidents.list_incidents(db, tenant_id=told.sync().tenant_id)


def ended_as_of_old(told, status, key="acme/orders"):
    """Ended by a version that left all telling to the follow-up, which did not come to it."""
    told.clock.advance(seconds=1)
    execution_id = started(told, key)
    with told.catalog.begin() as db:
        one = executions.lock_for_all_tenants(db, execution_id)
        executions.save(db, one, one.ended(status, told.clock()))
    return execution_id


def later(told):
    told.clock.advance(minutes=1)
    return follow_up_left_behind(told.catalog, told.clock())


# --- with the outcome ------------------------------------------------------------


def run_it(told, execution_id):
    engine = Engine(catalog=told.catalog, clock=told.clock, rng=Random(1))
    engine.run(execution_id, attempt=1, run_id="r")


def lose_it(told, execution_id):
    start(told.world, execution_id)
    settle_lost(told.catalog, execution_id, attempt=1, now=told.clock(), rng=Random(1))


@pytest.mark.parametrize("way", [run_it, lose_it])
def test_who_is_killed_as_soon_as_an_outcome_is_durable_has_told_of_it(told, monkeypatch, way):
    """Its own process, or the sensor's that settles for one that is dead."""
    rule = told.rule(Channel.WEBHOOK, topics=FAILURES)
    sync = told.world.sync(retry=RetryPolicy(max_attempts=1, jitter=0))
    execution_id = trigger(told.catalog, sync, now=told.clock(), queued=True)

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(running, "follow_up", die)
    monkeypatch.setattr(settling, "follow_up", die)
    ended_by = in_a_process(told, lambda: way(told, execution_id))

    assert ended_by == signal.SIGKILL
    assert found(told, execution_id).status is Status.FAILED
    assert set(told.topics(rule)) == set(FAILURES)
    assert [one.seen for one in open_incidents(told)] == [1]
    told.clock.advance(minutes=1)
    assert follow_up_left_behind(told.catalog, told.clock()) == 1
    assert len(told.posted(rule)) == 2
    assert [one.seen for one in open_incidents(told)] == [1]


def test_an_outcome_that_does_not_become_durable_is_not_told(told):
    rule = told.rule(Channel.WEBHOOK, topics=FAILURES)
    one = found(told, started(told))
    outcome = Outcome(
        status=Status.FAILED, failure=Failure(error_class=ErrorClass.AUTH, message="401")
    )

    with pytest.raises(KeyboardInterrupt), told.catalog.begin() as db:
        settle(db, one, outcome, (), now=told.clock())
        raise KeyboardInterrupt

    assert found(told, one.id).status is Status.RUNNING
    assert told.posted(rule) == open_incidents(told) == []


def test_an_attempt_that_two_settle_at_once_is_told_of_once(told):
    rule = told.rule(Channel.WEBHOOK, topics=FAILURES)
    ended = [found(told, started(told, f"acme/s{number}")) for number in range(6)]
    outcome = Outcome(
        status=Status.FAILED, failure=Failure(error_class=ErrorClass.LOST, message="gone")
    )

    def end_it(one):
        with told.catalog.begin() as db:
            settle(db, one, outcome, (), now=told.clock())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(end_it, [one for one in ended for _ in range(2)]))

    assert len(told.posted(rule)) == 2 * len(ended)
    assert [one.seen for one in open_incidents(told)] == [1] * len(ended)


def test_a_breaker_that_opens_is_told_with_what_opens_it(told):
    """Which is the follow-up: nothing is paused before."""
    rule = told.rule(topics=(Topic.PAUSED,))
    for _ in range(12):
        told.fail(followed=False)
    before = told.topics(rule)

    later(told)

    assert before == []
    (message,) = told.posted(rule)
    assert message.topic is Topic.PAUSED
    assert message.payload["incident"]["id"] == str(open_incidents(told)[0].id)


# --- in order --------------------------------------------------------------------


def test_failures_that_nobody_has_followed_up_are_one_first_failure(told):
    rule = told.rule(topics=(Topic.FIRST_FAILURE,))

    told.fail(followed=False)
    told.fail(followed=False)
    one = len(told.posted(rule))
    told.clock.advance(seconds=1)
    run(told.world, told.sync(), Status.COMPLETED, followed=False)
    told.fail(followed=False)

    assert (one, len(told.posted(rule))) == (1, 2)


def test_what_ended_just_before_an_upgrade_is_told_by_its_follow_up(told):
    """And what ends after it waits for that, so that they are told in their order."""
    rule = told.rule(Channel.WEBHOOK, topics=(*FAILURES, Topic.RECOVERED))
    ended_as_of_old(told, Status.FAILED)
    told.clock.advance(seconds=1)
    success = started(told)
    with told.catalog.begin() as db:
        one = executions.lock_for_all_tenants(db, success)
        settle(db, one, Outcome(status=Status.COMPLETED), (), now=told.clock())

    ended_as_of_old(told, Status.FAILED, "acme/others")
    before = told.posted(rule)
    follow_up(told.catalog, success, told.clock())
    later(told)
    later(told)

    assert before == []
    assert Counter(told.topics(rule)) == {
        Topic.FAILURE: 2,
        Topic.FIRST_FAILURE: 2,
        Topic.RECOVERED: 1,
    }
    assert [one.alarm.subject for one in open_incidents(told)] == ["acme/others-source: unexpected"]


# --- what cannot be told ---------------------------------------------------------


def test_an_outcome_is_not_lost_because_it_cannot_be_told(told):
    """A rule that cannot be read; once it can be, the outcome is told, once."""
    rule = told.rule(Channel.WEBHOOK, topics=FAILURES)
    spoil = "UPDATE sync.sync_notifications SET config = config - 'shown'"
    mend = 'UPDATE sync.sync_notifications SET config = config || \'{"shown": "x"}\''
    with told.catalog.begin() as db:
        db.execute(text(spoil))

    ended = told.fail(followed=False)
    later(told)
    untold = told.posted(), open_incidents(told)
    with told.catalog.begin() as db:
        db.execute(text(mend))
    later(told)
    later(told)

    assert found(told, ended.id).status is Status.FAILED
    assert untold == ([], [])
    assert set(told.topics(rule)) == set(FAILURES)
    assert len(told.posted(rule)) == 2
    assert [one.seen for one in open_incidents(told)] == [1]


def test_an_attempt_is_tried_again_though_nobody_can_be_told(told):
    told.rule(Channel.WEBHOOK, topics=(Topic.RETRYING,))
    with told.catalog.begin() as db:
        db.execute(text("UPDATE sync.sync_notifications SET config = config - 'shown'"))
    execution_id = trigger(told.catalog, told.sync(), now=told.clock(), queued=True)

    settled = end(told.world, execution_id, Status.PENDING, followed=False)

    assert found(told, execution_id) == settled
    assert settled.is_waiting


# --- what it costs ---------------------------------------------------------------


def test_a_success_that_concerns_nobody_asks_for_that_and_no_more(told):
    told.rule(topics=FAILURES)
    told.rule(tenant_id=told.sync("rival/orders").tenant_id)
    one = found(told, started(told))
    asked = []

    def note(_, __, statement, *___):
        asked.append(statement)

    with told.catalog.begin() as db:
        event.listen(told.catalog.engine, "before_cursor_execute", note)
        settle(db, one, Outcome(status=Status.COMPLETED), (), now=told.clock())
        event.remove(told.catalog.engine, "before_cursor_execute", note)

    assert [statement.split()[0] for statement in asked] == ["UPDATE", "UPDATE"]


# --- all at once -----------------------------------------------------------------

SYNCS, ENDS = 8, 5
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def test_many_that_fail_for_one_cause_beside_dispatchers_wait_in_no_circle(told):
    """Schedules that cancel and follow, breakers that open, and those that look after all."""
    rule = told.rule(Channel.WEBHOOK, topics=(Topic.FAILURE, Topic.SUCCESS, Topic.RECOVERED))
    told.user()
    told.rule(Channel.IN_APP)
    syncs = told.shared([f"acme/s{number}" for number in range(SYNCS)])
    cancelling = Policies(overlap=Overlap.CANCEL)
    for sync, other in zip(syncs, [*syncs[1:], syncs[0]], strict=True):
        told.world.schedule(sync, {"type": "every", "minutes": 5}, policies=cancelling)
        after = {"type": "after", "sync": other.name}
        told.world.schedule(sync, after, name="after", policies=cancelling)
    ended, turns, are_over = [], count(), Event()

    def fail_and_succeed(sync):
        rng = Random(sync.name)
        for number in range(ENDS):
            execution_id = trigger(told.catalog, sync, now=told.clock(), queued=True)
            start(told.world, execution_id)
            one = found(told, execution_id)
            failure = Failure(error_class=ErrorClass.AUTH, message="401")
            bad = Outcome(status=Status.FAILED, failure=failure)
            outcome = Outcome(status=Status.COMPLETED) if rng.random() < 0.3 else bad
            now = told.clock() + timedelta(seconds=number)  # each end has its own instant
            with told.catalog.begin() as db:
                settle(db, one, outcome, (), now=now)
            if number % 2:
                follow_up(told.catalog, execution_id, now)
            ended.append((execution_id, outcome.status))
        return None if outcome is not bad else sync

    def dispatch(number):
        while not are_over.is_set():
            if number == 0:
                told.clock.advance(minutes=5)
            claim_due(told.catalog, "database", told.clock(), tick=f"turn {next(turns)}")
            ready(told.catalog, told.clock())
            follow_up_left_behind(told.catalog, told.clock())

    with ThreadPoolExecutor(SYNCS + 2) as pool:
        dispatchers = [pool.submit(dispatch, number) for number in range(2)]
        try:
            failing = [sync for sync in pool.map(fail_and_succeed, syncs) if sync is not None]
        finally:
            are_over.set()
        for one in dispatchers:
            one.result()
    later(told)

    with told.catalog.begin() as db:
        assert db.scalar(text(DEADLOCKS)) == 0
        states = breakers.find_for_all_tenants(db, [sync.id for sync in syncs])
    told_of = [one for one in told.posted(rule) if one.topic is not Topic.RECOVERED]
    expected = {Status.FAILED: Topic.FAILURE, Status.COMPLETED: Topic.SUCCESS}
    wanted = [f"execution:{one}:{expected[status]}" for one, status in ended]
    assert sorted(one.event_id for one in told_of) == sorted(wanted)
    with told.catalog.begin() as db:
        affected = {
            name
            for one in incidents.list_incidents(db, tenant_id=rule.tenant_id)
            for name in incidents.affected(db, one.id, tenant_id=rule.tenant_id)
        }
    assert affected == {sync.name for sync in failing}
    assert states.keys() == {sync.id for sync in failing}
