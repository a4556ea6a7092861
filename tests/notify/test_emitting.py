"""What is told of outcomes, to whom, and how often."""

from concurrent.futures import ThreadPoolExecutor
from datetime import time, timedelta
from uuid import uuid4

import pytest

from sync_pipelines.catalog import inbox, incidents
from sync_pipelines.catalog.notifications import Preferences, put_preferences
from sync_pipelines.engine.aftermath import follow_up, follow_up_left_behind
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.engine.watch import watch
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Channel, QuietHours, Scope, Topic
from tests.engine.settling import end, run


def open_incidents(told):
    with told.catalog.begin() as db:
        return incidents.list_incidents(db, tenant_id=told.sync().tenant_id)


def test_many_syncs_that_fail_for_one_cause_are_one_message_to_a_person(told):
    """UX 5: "1 cause, 37 syncs"."""
    rule = told.rule(topics=(Topic.FAILURE,))
    names = [f"acme/s{number}" for number in range(12)]
    told.shared(names)

    for name in names:
        told.fail(name)

    (message,) = told.posted(rule)
    (incident,) = open_incidents(told)
    assert message.event_id == f"incident:{incident.id}:failure"
    assert incident.seen == 12
    with told.catalog.begin() as db:
        affected = incidents.affected(db, incident.id, tenant_id=rule.tenant_id)
    assert len(affected) == 12


def test_another_class_of_error_is_another_cause(told):
    rule = told.rule(topics=(Topic.FAILURE,))

    told.fail(error=ErrorClass.AUTH)
    told.fail(error=ErrorClass.TRANSIENT)

    assert len(told.posted(rule)) == len(open_incidents(told)) == 2


def test_a_webhook_is_told_of_every_outcome(told):
    """UX 5: versioned JSON for every event."""
    rule = told.rule(Channel.WEBHOOK, topics=(Topic.FAILURE, Topic.SUCCESS))

    told.fail()
    told.fail()
    told.succeed()

    found = told.posted(rule)
    assert [one.topic for one in found] == [Topic.FAILURE, Topic.FAILURE, Topic.SUCCESS]
    assert len({one.event_id for one in found}) == 3
    assert {one.payload["version"] for one in found} == {1}
    assert found[0].payload["error"]["class"] == "auth"
    assert found[0].payload["incident"]["remedy"]


def test_an_attempt_that_is_tried_again_is_no_failure(told):
    """Trap T8: one message for one failure, however many attempts it took."""
    rule = told.rule(Channel.WEBHOOK, topics=(Topic.FAILURE,))

    run(told.world, told.sync(), Status.PENDING, error=ErrorClass.TRANSIENT)

    assert told.posted(rule) == []
    assert open_incidents(told) == []


def test_an_outcome_is_told_once_however_often_it_is_followed_up(told):
    rule = told.rule(Channel.WEBHOOK, topics=(Topic.FAILURE,))
    ended = told.fail(followed=False)
    told.clock.advance(minutes=1)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(follow_up, told.catalog, ended.id, told.clock())
    follow_up_left_behind(told.catalog, told.clock())

    assert len(told.posted(rule)) == 1


def test_what_lost_its_process_before_it_could_speak_is_told(told):
    rule = told.rule(topics=(Topic.FAILURE,))
    told.fail(followed=False)
    told.clock.advance(minutes=1)

    follow_up_left_behind(told.catalog, told.clock())

    assert told.topics(rule) == [Topic.FAILURE]


def test_a_success_after_failures_is_a_recovery_and_ends_the_incident(told):
    rule = told.rule(topics=(Topic.FAILURE, Topic.RECOVERED))
    told.fail()
    told.fail()

    told.succeed()
    told.succeed()

    assert told.topics(rule) == [Topic.FAILURE, Topic.RECOVERED]
    assert open_incidents(told) == []


def test_the_tenant_hears_of_recovery_when_the_last_sync_works_again(told):
    wide = told.rule(topics=(Topic.RECOVERED,))
    told.shared(["acme/a", "acme/b"])
    narrow = told.rule(topics=(Topic.RECOVERED,), scope=Scope.SYNC, sync_id=told.sync("acme/a").id)
    told.fail("acme/a")
    told.fail("acme/b")

    told.succeed("acme/a")
    early = told.topics(wide), told.topics(narrow)
    told.succeed("acme/b")

    assert early == ([], [Topic.RECOVERED])
    assert told.topics(wide) == [Topic.RECOVERED]


def test_a_failure_after_recovery_is_told_anew(told):
    rule = told.rule(topics=(Topic.FAILURE,))

    told.fail()
    told.succeed()
    told.fail()

    assert told.topics(rule) == [Topic.FAILURE, Topic.FAILURE]


def test_escalation_is_told_once_after_so_many_failures(told):
    rule = told.rule(topics=(Topic.ESCALATED,), escalate_after=3)

    counts = []
    for _ in range(5):
        told.fail()
        counts.append(len(told.posted(rule)))

    assert counts == [0, 0, 1, 1, 1]


def test_a_breaker_that_opens_is_told_once(told):
    rule = told.rule(topics=(Topic.PAUSED,))

    for _ in range(12):
        told.fail()

    assert told.topics(rule) == [Topic.PAUSED]


def test_the_first_failure_of_a_row_is_told_once(told):
    rule = told.rule(topics=(Topic.FIRST_FAILURE,))

    told.fail()
    told.fail()
    told.succeed()
    told.fail()

    assert told.topics(rule) == [Topic.FIRST_FAILURE] * 2


def test_a_success_is_told_to_who_wants_to_know_it(told):
    """R98: the short way of following up would not tell."""
    rule = told.rule(topics=(Topic.SUCCESS,))

    told.succeed()

    (message,) = told.posted(rule)
    assert message.payload["execution"]["status"] == "completed"


def test_what_got_through_in_part_is_a_warning(told):
    rule = told.rule(topics=(Topic.WARNING, Topic.FAILURE, Topic.RECOVERED))

    run(told.world, told.sync(), Status.PARTIAL, error=ErrorClass.TRANSIENT)
    told.succeed()

    assert told.topics(rule) == [Topic.WARNING, Topic.RECOVERED]


def test_a_cancelled_execution_is_told_to_nobody(told):
    rule = told.rule(Channel.WEBHOOK)

    run(told.world, told.sync(), Status.CANCELLED, error=ErrorClass.CANCELLED)

    assert told.posted(rule) == []


def test_a_rule_about_another_sync_or_tenant_is_not_told(told):
    """R127."""
    told.sync("acme/other")
    elsewhere = told.rule(scope=Scope.SYNC, sync_id=told.sync("acme/other").id)
    rival = told.rule(tenant_id=told.sync("rival/orders").tenant_id)

    told.fail()

    assert told.posted(elsewhere) == told.posted(rival) == []


def test_a_rule_about_a_schedule_is_told_of_what_that_schedule_started_only(told):
    schedule_id = told.world.schedule(told.sync(), {"type": "daily"})
    rule = told.rule(
        Channel.WEBHOOK, topics=(Topic.FAILURE,), scope=Scope.SCHEDULE, schedule_id=schedule_id
    )

    told.fail()
    scheduled = trigger(
        told.catalog, told.sync(), now=told.clock(), queued=True, schedule_id=schedule_id
    )
    end(told.world, scheduled)

    assert [one.event_id for one in told.posted(rule)] == [f"execution:{scheduled}:failure"]


def test_a_message_of_the_inbox_is_over_when_its_cause_is(told):
    told.user()
    told.rule(Channel.IN_APP, topics=(Topic.FAILURE,))

    told.fail()
    before = told.inbox()
    told.succeed()

    assert [one.resolved_at for one in before] == [None]
    assert [one.resolved_at for one in told.inbox()] == [told.clock()]


def test_who_is_no_member_has_nothing_in_the_inbox(told):
    told.rule(Channel.IN_APP, recipients=("stranger@example.com",))

    told.fail()

    assert told.inbox() == []


def test_who_has_muted_a_topic_is_not_told_of_it(told):
    user = told.user()
    rule = told.rule(recipients=("ana@example.com", "bob@example.com"), topics=(Topic.FAILURE,))
    muted = Preferences(muted=(Topic.FAILURE,))
    with told.catalog.begin() as db:
        put_preferences(db, user, muted, tenant_id=rule.tenant_id, now=told.clock())

    told.fail()

    assert [one.recipient for one in told.posted(rule)] == ["bob@example.com"]


@pytest.mark.parametrize(("status", "hour"), [(Status.PARTIAL, 7), (Status.FAILED, 12)])
def test_quiet_hours_hold_back_what_can_wait(told, status, hour):
    quiet = QuietHours(start=time(11), end=time(7), timezone="UTC")
    rule = told.rule(quiet=quiet, topics=(Topic.WARNING, Topic.FAILURE))

    run(told.world, told.sync(), status, error=ErrorClass.TRANSIENT)

    (message,) = told.posted(rule)
    assert message.next_attempt_at.hour == hour


def test_a_reminder_comes_every_day_until_somebody_minds(told):
    rule = told.rule(topics=(Topic.REMINDER,))
    told.fail()

    counts = []
    for day in range(4):
        if day == 3:
            (incident,) = open_incidents(told)
            with told.catalog.begin() as db:
                incidents.acknowledge(db, incident.id, tenant_id=rule.tenant_id, now=told.clock())
        for _ in range(2):
            told.clock.advance(hours=12)
            watch(told.catalog, told.clock())
            watch(told.catalog, told.clock())
        counts.append(len(told.posted(rule)))

    assert counts == [1, 2, 3, 3]


def test_what_the_watch_finds_late_is_told_once_to_every_tenant(told):
    mine = told.rule(topics=(Topic.LATE,))
    theirs = told.rule(topics=(Topic.LATE,), tenant_id=told.sync("rival/orders").tenant_id)
    watch(told.catalog, told.clock())

    for _ in range(8):
        told.clock.advance(seconds=30)
        watch(told.catalog, told.clock())

    assert told.topics(mine) == told.topics(theirs) == [Topic.LATE]


def test_an_incident_whose_syncs_are_gone_is_closed(told):
    told.fail()
    with told.catalog.begin() as db:
        db.exec_driver_sql("DELETE FROM sync.syncs")

    watch(told.catalog, told.clock() + timedelta(seconds=1))

    assert [one for one in open_incidents(told) if one.alarm.kind == "failing"] == []


def test_what_the_gateway_asks_for_a_user_needs_no_more_than_the_tenants_own_rows(told):
    """R127: under row-level security, as the API does it."""
    user = told.user()
    rule = told.rule(Channel.IN_APP, topics=(Topic.FAILURE,))
    told.fail()
    now = told.clock()
    mine = {"tenant_id": rule.tenant_id, "user_id": user}

    with told.catalog.as_tenant(rule.tenant_id).begin() as db:
        new = inbox.unread(db, user, tenant_id=rule.tenant_id, now=now)
        (message,) = inbox.list_messages(db, **mine, now=now)
        inbox.snooze(db, message.id, **mine, until=now + timedelta(hours=1))
        asleep = inbox.list_messages(db, **mine, now=now)
        awake = inbox.list_messages(db, **mine, now=now + timedelta(hours=1))
        seen = inbox.acknowledge(db, message.id, **mine, now=now)
        left = inbox.unread(db, user, tenant_id=rule.tenant_id, now=now + timedelta(hours=2))
        over = inbox.resolve(db, message.id, **mine, now=now)
        theirs = inbox.resolve(db, message.id, tenant_id=rule.tenant_id, user_id=uuid4(), now=now)

    assert (new, left) == (1, 0)
    assert (asleep, [one.id for one in awake]) == ([], [message.id])
    assert (seen.acknowledged_at, over.resolved_at, theirs) == (now, now, None)
