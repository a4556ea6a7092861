"""One cause from its beginning to its end, as its readers live through it."""

from datetime import UTC, datetime, time

import pytest
from sqlalchemy import text

from sync_pipelines.catalog import incidents
from sync_pipelines.catalog.notifications import Preferences, put_preferences
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.engine.watch import watch
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Channel, QuietHours, Topic
from tests.engine.settling import run

MANY = 300

_COPY = text("""
    INSERT INTO sync.syncs (tenant_id, name, source_id, destination_id, connector, dataset,
                            streams, retry)
    SELECT tenant_id, 'table' || n, source_id, destination_id, connector, dataset, streams, retry
    FROM sync.syncs CROSS JOIN generate_series(2, :many) n WHERE id = :first
""")

_FAIL = text("""
    INSERT INTO sync.sync_executions (tenant_id, sync_id, trigger, status, attempt, created_at,
        started_at, completed_at, error_message, error_details)
    SELECT tenant_id, id, 'scheduled', 'failed', 1, :now, :now, :now,
        'the token has expired', '{"error_class": "auth"}'
    FROM sync.syncs WHERE source_id = :source
    RETURNING id
""")


def test_300_syncs_that_fail_on_one_expired_credential_are_one_message_until_all_work(told):
    """From the first failure over a reminder and the escalation to the last sync's recovery."""
    people = told.rule(
        topics=(Topic.FAILURE, Topic.ESCALATED, Topic.REMINDER, Topic.RECOVERED),
        escalate_after=MANY + 1,
    )
    programs = told.rule(Channel.WEBHOOK, topics=(Topic.FAILURE, Topic.RECOVERED))
    first = told.sync("acme/table1")
    with told.catalog.begin() as db:
        db.execute(_COPY, {"first": first.id, "many": MANY})
        arguments = {"source": first.source.id, "now": told.clock()}
        failed = list(db.scalars(_FAIL, arguments))

    for execution_id in failed:
        follow_up(told.catalog, execution_id, told.clock())
    at_once = told.topics(people)
    told.clock.advance(days=1)
    watch(told.catalog, told.clock())
    told.fail("acme/table1")
    after_a_day = told.topics(people)
    with told.catalog.begin() as db:
        (incident,) = incidents.list_incidents(db, tenant_id=people.tenant_id)
        names = incidents.affected(db, incident.id, tenant_id=people.tenant_id)
        others = {"id": incident.id, "last": first.id}
        db.execute(
            text("DELETE FROM sync.incident_syncs WHERE incident_id = :id AND sync_id <> :last"),
            others,
        )
    told.succeed("acme/table1")

    assert at_once == [Topic.FAILURE]
    assert after_a_day == [Topic.FAILURE, Topic.REMINDER, Topic.ESCALATED]
    assert len(names) == MANY
    assert told.topics(people)[-1:] == [Topic.RECOVERED]
    assert len(told.posted(programs)) == MANY + 2, "programs hear of each outcome"


def at(written: str) -> datetime:
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "zone", "until"),
    [
        ("2026-03-28 22:30", "Europe/Berlin", "2026-03-29 05:00"),  # a night an hour shorter
        ("2026-10-24 22:30", "Europe/Berlin", "2026-10-25 06:00"),  # and one an hour longer
        ("2026-03-08 05:00", "America/New_York", "2026-03-08 11:00"),
        ("2026-11-01 05:00", "America/New_York", "2026-11-01 12:00"),
        ("2026-04-04 12:00", "Australia/Lord_Howe", "2026-04-04 20:30"),  # by half an hour
    ],
)
def test_a_warning_waits_for_the_morning_of_the_readers_clock(told, now, zone, until):
    told.clock.now = at(now)
    quiet = QuietHours(start=time(22), end=time(7), timezone=zone)
    rule = told.rule(quiet=quiet, topics=(Topic.WARNING,))

    run(told.world, told.sync(), Status.PARTIAL, error=ErrorClass.TRANSIENT)

    (message,) = told.posted(rule)
    assert message.next_attempt_at == at(until)


def test_of_the_rules_quiet_hours_and_a_persons_those_count_that_end_later(told):
    user = told.user("ana@example.com")
    night = QuietHours(start=time(11), end=time(14), timezone="UTC")
    longer = QuietHours(start=time(11), end=time(15), timezone="UTC")
    rule = told.rule(
        quiet=night, topics=(Topic.WARNING,), recipients=("ana@example.com", "bob@example.com")
    )
    with told.catalog.begin() as db:
        mine = Preferences(quiet=longer)
        put_preferences(db, user, mine, tenant_id=rule.tenant_id, now=told.clock())

    run(told.world, told.sync(), Status.PARTIAL, error=ErrorClass.TRANSIENT)

    hours = {one.recipient: one.next_attempt_at.hour for one in told.posted(rule)}
    assert hours == {"ana@example.com": 15, "bob@example.com": 14}
