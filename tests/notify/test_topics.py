"""Topics that are not plain outcomes: retries, columns that changed; tags; each has an emitter."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from connectors.errors import ConfigError
from sync_pipelines.catalog import incidents
from sync_pipelines.catalog.notifications import Preferences, put_preferences
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.outcome import ErrorClass, Outcome, StreamResult
from sync_pipelines.engine.settle import settle
from sync_pipelines.engine.watch import watch
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import USUAL, Channel, Scope, Topic
from sync_pipelines.notify.alerts import look
from sync_pipelines.notify.digests import tell_digests
from sync_pipelines.notify.ruling import By, send_test
from tests.engine.settling import end, run


def tag(told, *keys, word="nightly"):
    with told.catalog.begin() as db:
        for key in keys:
            db.execute(
                text("UPDATE sync.syncs SET tags = jsonb_build_array(CAST(:tag AS text)) "
                     "WHERE id = :id"),
                {"tag": word, "id": told.sync(key).id},
            )  # fmt: skip


def evolve(told, status=Status.COMPLETED):
    """An execution that added a column to a table that was there, and widened another."""
    ended = told.fail(followed=False)
    result = StreamResult(stream="orders", columns_added=("note",), columns_widened=("total",))
    running = ended.__class__(
        **{
            name: getattr(ended, name)
            for name in ended.__slots__
            if name not in ("status", "completed_at")
        },
        status=Status.RUNNING,
    )
    with told.catalog.begin() as db:
        db.execute(
            text(
                "UPDATE sync.sync_executions SET status = 'running', completed_at = NULL "
                "WHERE id = :id"
            ),
            {"id": ended.id},
        )
        settled = settle(db, running, Outcome(status=status), [result], now=told.clock()).execution
    follow_up(told.catalog, settled.id, told.clock())
    return settled


# --- retries -----------------------------------------------------------------------


def test_a_retry_is_told_to_who_asked_for_it_with_the_time_of_the_next(told):
    """Trap T8: optional, and no failure."""
    asked = told.rule(topics=(Topic.RETRYING,))
    usual = told.rule(topics=USUAL)

    waiting = run(told.world, told.sync(), Status.PENDING, error=ErrorClass.TRANSIENT)

    (message,) = told.posted(asked)
    assert told.posted(usual) == []
    assert message.payload["next_run_at"] == waiting.next_attempt_at.isoformat()
    assert message.payload["error"]["class"] == "transient"
    assert message.payload["headline"].startswith("orders ")


def test_each_retry_has_an_id_of_its_own_for_programs_too(told):
    hook = told.rule(Channel.WEBHOOK, topics=(Topic.RETRYING,))

    first = run(told.world, told.sync(), Status.PENDING, error=ErrorClass.TRANSIENT)
    end(told.world, first.id, Status.PENDING, error=ErrorClass.TRANSIENT)

    assert len({one.event_id for one in told.posted(hook)}) == 2


# --- columns -----------------------------------------------------------------------


def test_columns_that_changed_are_told_by_their_names(told):
    rule = told.rule(topics=(Topic.SCHEMA_CHANGE,))

    evolve(told)

    (message,) = told.posted(rule)
    assert message.payload["schema_changes"] == {
        "orders": {"added": ["note"], "widened": ["total"]}
    }
    assert message.payload["message"] == "orders: added note; orders: widened total"


def test_a_success_without_such_a_change_says_nothing_of_columns(told):
    rule = told.rule(topics=(Topic.SCHEMA_CHANGE,))

    told.succeed()

    assert told.posted(rule) == []


# --- tags --------------------------------------------------------------------------


def test_a_rule_about_a_tag_is_told_of_the_syncs_that_have_it(told):
    """UX 5: subscriptions by sync, tag or all."""
    tag(told, "acme/a")
    told.sync("acme/b")
    rule = told.rule(Channel.WEBHOOK, topics=(Topic.FAILURE,), scope=Scope.TAG, tag="nightly")
    rival = told.rule(
        Channel.WEBHOOK,
        scope=Scope.TAG,
        tag="nightly",
        topics=(Topic.FAILURE,),
        tenant_id=told.sync("rival/x").tenant_id,
    )

    told.fail("acme/a")
    told.fail("acme/b")

    (message,) = told.posted(rule)
    assert message.payload["sync"]["name"] == "a"
    assert told.posted(rival) == []


def test_a_tag_has_recovered_when_the_last_of_its_syncs_works_again(told):
    tag(told, "acme/a", "acme/b")
    told.shared(["acme/a", "acme/b", "acme/untagged"])
    rule = told.rule(topics=(Topic.RECOVERED,), scope=Scope.TAG, tag="nightly")
    for key in ("acme/a", "acme/b", "acme/untagged"):
        told.fail(key)

    counts = []
    for key in ("acme/a", "acme/b", "acme/untagged"):
        told.succeed(key)
        counts.append(len(told.posted(rule)))

    assert counts == [0, 1, 1]


def test_a_digest_is_not_of_a_tag(told):
    with pytest.raises(ConfigError, match="digest"):
        told.rule(topics=(Topic.DIGEST,), scope=Scope.TAG, tag="nightly")


# --- thresholds, incidents, preferences --------------------------------------------


def alerts(told, thresholds):
    with told.catalog.begin() as db:
        db.execute(
            text("UPDATE sync.tenants SET thresholds = CAST(:held AS jsonb) WHERE name = 'acme'"),
            {"held": thresholds},
        )
        return [alarm.details["measure"] for alarm in look(db, told.clock())]


def test_a_tenants_own_threshold_decides_and_off_is_off(told):
    """R124."""
    for _ in range(3):
        told.succeed()
    told.fail()
    told.fail()

    lenient = alerts(told, '{"failure_rate": {"opens": 0.9, "closes": 0.8}}')
    usual = alerts(told, "{}")
    off = alerts(told, '{"failure_rate": null}')

    assert (lenient, usual, off) == ([], ["failure_rate"], [])


def test_a_snoozed_incident_reminds_nobody_until_then(told):
    rule = told.rule(topics=(Topic.REMINDER,))
    told.fail()
    with told.catalog.begin() as db:
        (incident,) = incidents.list_incidents(db, tenant_id=rule.tenant_id)
        until = told.clock() + timedelta(days=1, hours=12)
        incidents.snooze(db, incident.id, tenant_id=rule.tenant_id, until=until)

    counts = []
    for _ in range(2):
        told.clock.advance(days=1)
        watch(told.catalog, told.clock())
        counts.append(len(told.posted(rule)))

    assert counts == [0, 1]


def test_a_channel_that_somebody_has_muted_is_left_out_and_others_are_not(told):
    """R100."""
    user = told.user()
    mail, inbox = told.rule(topics=(Topic.FAILURE,)), told.rule(Channel.IN_APP)
    muted = Preferences(muted_channels=(Channel.EMAIL,))
    with told.catalog.begin() as db:
        put_preferences(db, user, muted, tenant_id=mail.tenant_id, now=told.clock())

    told.fail()

    assert told.posted(mail) == []
    assert Topic.FAILURE in [one.topic for one in told.inbox()]
    assert inbox.recipients == ("ana@example.com",)


# --- every topic -------------------------------------------------------------------


def test_every_topic_that_a_rule_may_name_is_told_by_something(told):
    rule = told.rule(Channel.WEBHOOK, topics=tuple(Topic), escalate_after=2)

    run(told.world, told.sync(), Status.PENDING, error=ErrorClass.TRANSIENT)
    for _ in range(10):
        told.fail()
    evolve(told)
    run(told.world, told.sync(), Status.PARTIAL, error=ErrorClass.TRANSIENT)
    look_at_everything(told)
    told.clock.advance(days=1, minutes=5)
    look_at_everything(told)
    with told.catalog.begin() as db:
        tell_digests(db, told.clock())
        send_test(db, rule, By(actor="cli:tester", now=told.clock()))
    make_stale(told)

    assert set(told.topics(rule)) == set(Topic)


def look_at_everything(told):
    with told.catalog.begin() as db:
        look(db, told.clock())
    for _ in range(8):
        watch(told.catalog, told.clock())
        told.clock.advance(seconds=30)


def make_stale(told):
    for _ in range(6):
        told.succeed("acme/hourly")
        told.clock.advance(hours=1)
    told.clock.advance(hours=12)
    with told.catalog.begin() as db:
        look(db, told.clock())
