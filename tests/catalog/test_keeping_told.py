"""What housekeeping leaves of notifications."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import func, insert, select

from sync_pipelines.catalog import incidents
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.keeping_told import forget_told
from sync_pipelines.catalog.tables import InboxRow, IncidentRow, OutboxRow
from sync_pipelines.catalog.users import make_user
from sync_pipelines.model.retention import RetentionPolicy
from tests.world import START

POLICY = RetentionPolicy(notices_for=timedelta(days=90))
OLD, YOUNG = START - timedelta(days=91), START - timedelta(days=89)


def posted(db, tenant_id, *, state, at):
    values = {"tenant_id": tenant_id, "rule_id": uuid4(), "channel": "email", "event": "failure"}
    what = {"recipient": "a", "event_id": "e", "payload": {}, "next_attempt_at": at}
    db.execute(insert(OutboxRow).values(**values, **what, state=state, created_at=at))


def told(db, tenant_id, user_id, *, at, incident_id=None):
    values = {"tenant_id": tenant_id, "user_id": user_id, "rule_id": uuid4(), "event_id": "e"}
    what = {"event": "failure", "severity": "info", "payload": {}, "incident_id": incident_id}
    db.execute(insert(InboxRow).values(**values, **what, created_at=at))


def incident(db, tenant_id, subject, *, over_at=None):
    alarm = Alarm(kind=Kind.FAILING, subject=subject, message="m", remedy="r", tenant_id=tenant_id)
    found = incidents.record(db, alarm, now=OLD)
    if over_at is not None:
        incidents.resolve(db, Kind.FAILING, subject, now=over_at)
    return found.id


def count(world):
    with world.catalog.begin() as db:
        return [
            db.scalar(select(func.count()).select_from(table))
            for table in (OutboxRow, InboxRow, IncidentRow)
        ]


def test_what_is_over_goes_after_its_time_and_what_goes_on_stays(world):
    tenant_id = world.sync().tenant_id
    with world.catalog.begin() as db:
        user = make_user(db, "ana@example.com", password_hash=None, now=START)
        still = incident(db, tenant_id, "still so")
        incident(db, tenant_id, "long over", over_at=OLD)
        incident(db, tenant_id, "just over", over_at=YOUNG)
        for state, at in (("pending", OLD), ("sent", OLD), ("dead", OLD), ("sent", YOUNG)):
            posted(db, tenant_id, state=state, at=at)
        for at, about in ((OLD, None), (OLD, still), (YOUNG, None)):
            told(db, tenant_id, user.id, at=at, incident_id=about)
    arguments: dict[str, Any] = {"now": START, "stop": lambda: False}

    would = forget_told(world.catalog, POLICY, **arguments, dry_run=True)
    before = count(world)
    did = forget_told(world.catalog, POLICY, **arguments)
    again = forget_told(world.catalog, POLICY, **arguments)

    assert (would.rows, did.rows, again.rows) == (4, 4, 0)
    assert (before, count(world)) == ([4, 3, 3], [2, 2, 2])


def test_who_is_stopped_leaves_the_rest_for_the_next_time(world):
    tenant_id = world.sync().tenant_id
    with world.catalog.begin() as db:
        posted(db, tenant_id, state="sent", at=OLD)

    done = forget_told(world.catalog, POLICY, now=START, stop=lambda: True)

    assert (done.rows, done.finished) == (0, False)
