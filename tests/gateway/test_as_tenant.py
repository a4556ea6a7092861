"""The engine works for a tenant behind the second wall, and touches nobody else's rows.

R127: every operation that a request of a tenant leads to is run through `as_tenant`.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import delete, func, select, text, update

from sync_pipelines.apply import act
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog import audit, dead_letters, decisions, events, executions, history
from sync_pipelines.catalog import conflicts as found_conflicts
from sync_pipelines.catalog.dead_letters import Which
from sync_pipelines.catalog.incidents import list_incidents
from sync_pipelines.catalog.scheduled import find_scheduled, scheduled_of_tenant
from sync_pipelines.catalog.schedules import find_schedule, list_schedules
from sync_pipelines.catalog.syncs import NotFoundError, find_sync, list_connections, list_syncs
from sync_pipelines.catalog.tables import (
    AuditRow,
    DeadLetterRow,
    EventRow,
    ExecutionRow,
    ScheduleRow,
)
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.engine import steering
from sync_pipelines.engine.conflicts import review
from sync_pipelines.engine.dead_letters import bury_event, discard, redrive
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.explain import explain
from sync_pipelines.engine.foresight import coming, foresee
from sync_pipelines.engine.settle import cancel
from sync_pipelines.engine.timetables import timetable_of
from sync_pipelines.model.dead_letter import LetterKind
from sync_pipelines.model.event import Event
from sync_pipelines.model.execution import Status
from sync_pipelines.model.kinds import EventTrigger
from sync_pipelines.model.policy import Pause
from tests.engine.settling import run
from tests.world import World

HOURLY = {"type": "every", "minutes": 60}


@pytest.fixture
def acme(world: World):
    """A tenant's sync with a schedule; next to it, the like of a rival."""
    for key in ("rival/orders", "acme/orders"):
        sync = world.sync(key)
        world.schedule(sync, HOURLY)
    world.clock.advance(hours=3, minutes=10)
    return sync


@pytest.fixture
def view(world, acme):
    return world.catalog.as_tenant(acme.tenant_id)


@pytest.fixture
def rival(world, acme):
    with world.catalog.begin() as db:
        return find_sync(db, world.catalog.secrets, "rival/orders")


def test_a_tenant_finds_its_own_by_name_and_no_others(view):
    with view.begin() as db:
        own = find_sync(db, view.secrets, "acme/orders")
        listed = (list_syncs(db, view.secrets, "acme"), list_connections(db, view.secrets, "acme"))
        with pytest.raises(NotFoundError):
            find_sync(db, view.secrets, "rival/orders")

    assert own.key == "acme/orders"
    assert [len(found) for found in listed] == [1, 2]


def test_a_tenant_triggers_and_cancels(world, view, acme):
    execution_id = trigger(view, acme, now=world.clock())
    cancel(view, execution_id, tenant_id=acme.tenant_id, now=world.clock())

    with view.begin() as db:
        entry = history.find(db, execution_id, tenant_id=acme.tenant_id)

    assert entry.execution.status is Status.CANCELLED


def test_a_tenants_limit_of_an_hour_counts_behind_the_wall_too(world, view, acme):
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.tenants SET limits = '{\"executions_per_hour\": 1}'"))
    trigger(view, acme, now=world.clock())

    with pytest.raises(Exception, match="1 executions an hour"):
        trigger(view, acme, now=world.clock())


def test_a_tenant_pauses_resumes_and_removes_and_no_instant_is_lost(world, view, acme, rival):
    now = world.clock()
    with view.begin() as db:
        schedule = find_schedule(db, "acme/orders/main")
        steering.pause_schedule(db, schedule, Pause(reason="stocktaking"), now=now)
        steering.resume_schedule(db, find_schedule(db, "acme/orders/main"), now=now)
        steering.pause_sync(db, acme.id, tenant_id=acme.tenant_id, reason=None, now=now)
        steering.resume_sync(db, acme.id, tenant_id=acme.tenant_id, now=now)
        steering.remove_schedule(db, find_schedule(db, "acme/orders/main"), now=now)
        decided = decisions.of_sync(db, acme.id, tenant_id=acme.tenant_id)
        left = list_schedules(db, acme.id, tenant_id=acme.tenant_id)

    assert sum(one.decision.count for one in decided) == 4
    assert left == []
    with world.catalog.begin() as db:
        assert len(list_schedules(db, rival.id, tenant_id=rival.tenant_id)) == 1
        assert decisions.of_sync(db, rival.id, tenant_id=rival.tenant_id) == []


def test_a_tenant_asks_why_what_is_to_come_and_what_has_been(world, view, acme):
    run(world, acme)
    with view.begin() as db:
        scheduled = find_scheduled(db, "acme/orders/main")
        answer = explain(db, scheduled, at=world.clock() - timedelta(hours=1), now=world.clock())
        ahead = coming(timetable_of(scheduled.schedule, pause=None), after=world.clock())
        foresight = foresee(db, "acme")
        past = history.timeline(db, acme.id, tenant_id=acme.tenant_id)
        known = scheduled_of_tenant(db, "acme")
        incidents = list_incidents(db, tenant_id=acme.tenant_id)

    assert answer.answer
    assert (ahead.starts, len(foresight.schedules), len(past), len(known)) == (5, 1, 1, 1)
    assert [one.alarm.subject for one in incidents] == ["acme/orders-source: transient"]


def test_a_tenant_redrives_and_discards_its_dead_letters(world, view, acme):
    run(world, acme)
    event = Event(
        id=uuid4(),
        tenant_id=acme.tenant_id,
        source=EventTrigger.WEBHOOK,
        platform="shop",
        event_id="1",
        event_type="order.created",
        received_at=world.clock(),
    )
    with view.begin() as db:
        events.accept(db, event)
        event = replace(event, id=db.scalar(select(EventRow.id)))
        bury_event(db, event, cause="unheard", reason="nobody listens", now=world.clock())
        letters = dead_letters.list_letters(db, Which(), tenant_id=acme.tenant_id)
        ids = {letter.kind: letter.id for letter in letters}
        dropped = discard(db, [ids[LetterKind.EVENT]], tenant_id=acme.tenant_id, now=world.clock())
        redriven = redrive(
            db, [ids[LetterKind.EXECUTION]], tenant_id=acme.tenant_id, now=world.clock()
        )

    assert len(letters) == 2
    assert (len(dropped), len(redriven.executions)) == (1, 1)


def test_a_tenant_plans_and_applies_a_file_of_its_own(world, view, acme):
    parsed = parse_manifest(
        "tenant: acme\n"
        "connections:\n"
        "  shop: {connector: database, config: {url: 'sqlite:////tmp/shop.db'}}\n"
        "  house: {connector: database, config: {url: 'sqlite:////tmp/house.db'}}\n"
        "syncs:\n"
        "  more: {source: shop, destination: house, dataset: main, streams: [orders],\n"
        "         schedules: {nightly: {type: daily}}}\n",
        file="acme.yaml",
        environment={},
    )
    planned = act.preview(view, parsed, now=world.clock())
    done = act.apply(view, parsed, now=world.clock(), actor="user:ana")

    with view.begin() as db:
        names = [sync.name for sync in list_syncs(db, view.secrets, "acme")]
        review(db, view.secrets, find_tenant(db, "acme"), now=world.clock())
        found_conflicts.of_tenant(db, tenant_id=acme.tenant_id)
        audited = set(db.scalars(select(AuditRow.action)))
    assert [change.name for change in planned.changes] == [change.name for change in done.changes]
    assert names == ["more", "orders"]
    assert "schedule.created" in audited


def test_a_file_of_another_tenant_or_of_a_new_one_is_not_applied(world, view, acme):
    for other in ("rival", "newcomer"):
        parsed = parse_manifest(f"tenant: {other}\n", file="x.yaml", environment={})
        with pytest.raises(Exception, match="permission denied for table tenants"):
            act.apply(view, parsed, now=world.clock(), actor="user:ana")


def test_what_forgets_its_tenant_changes_nothing_of_the_rivals(world, view, acme, rival):
    run(world, rival)
    with view.begin() as db:
        found = [
            db.execute(update(ScheduleRow).values(is_active=False)).rowcount,
            db.execute(delete(DeadLetterRow)).rowcount,
            db.execute(select(func.count()).select_from(ExecutionRow)).scalar_one(),
        ]
        theirs = executions.running(db, rival.id, tenant_id=rival.tenant_id)

    assert found == [1, 0, 0]
    assert theirs is None


def test_the_audit_chain_holds_when_tenants_and_the_installation_write_at_once(world, acme, rival):
    """R133. Each sees only its own rows, and knows the last of all."""
    owners = [acme.tenant_id, rival.tenant_id, None] * 8

    def write(number):
        owner = owners[number]
        catalog = world.catalog if owner is None else world.catalog.as_tenant(owner)
        with catalog.begin() as db:
            audit.record(
                db,
                at=world.clock(),
                actor=f"user:{number}",
                action="sync.changed",
                subject="orders",
                tenant_id=owner,
                after={"number": number, "large": 1e20, "tiny": 1e-7, "zero": -0.0, "t": (1, 2.0)},
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(len(owners))))

    with world.catalog.begin() as db:
        verified = audit.verify_for_all_tenants(db)
    assert (verified.rows, verified.broken) == (24, None)
