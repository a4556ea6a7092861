"""Every execution that has ended is in the audit: once, whoever dies or comes in between."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from sync_pipelines.catalog import audit
from sync_pipelines.engine import auditing
from sync_pipelines.engine.auditing import audit_ended
from sync_pipelines.engine.dispatch import claim_due, trigger
from sync_pipelines.model.execution import Status
from tests.engine.ending import executions_of
from tests.engine.settling import end, run


def lines(world):
    """What the audit says of ends, oldest first; of a chain that holds."""
    with world.catalog.begin() as db:
        verified = audit.verify_for_all_tenants(db)
        found = audit.entries_for_all_tenants(db, limit=5000)
    assert (verified.broken, verified.cut) == (None, None)
    return [one for one in reversed(found) if one.action == "execution.ended"]


def subjects(world):
    return Counter(one.subject for one in lines(world))


def test_an_end_is_told_with_what_started_it_and_from_what_to_what(world):
    sync = world.sync("acme/orders")
    world.schedule(sync, {"type": "hourly", "minute": 0}, name="hourly")
    world.clock.advance(hours=1)
    claim_due(world.catalog, "database", world.clock(), tick="turn")
    due, *_ = executions_of(world, sync)
    ended_at = world.clock.advance(seconds=5)
    end(world, due.id, Status.COMPLETED)
    world.clock.advance(seconds=1)

    assert audit_ended(world.catalog, world.clock()) == 1

    (line,) = lines(world)
    assert (line.actor, line.at) == ("schedule acme/orders/hourly", ended_at)
    assert line.tenant_id == sync.tenant_id
    assert line.subject == f"acme/orders {due.id}"
    assert line.before["status"] == "running"
    assert line.before["due_at"] == due.due_at.isoformat()
    assert (line.after["status"], line.after["attempt"]) == ("completed", 1)


def test_what_a_person_started_and_what_never_started_are_told_and_what_runs_is_not(world):
    sync = world.sync("acme/orders")
    failed = run(world, sync)
    trigger(world.catalog, sync, now=world.clock())
    with world.catalog.begin() as db:
        db.execute(text("UPDATE sync.sync_executions SET status = 'cancelled', completed_at = now()"
                        " WHERE status = 'pending'"))  # fmt: skip
    trigger(world.catalog, sync, now=world.clock())

    audit_ended(world.catalog, world.clock())

    told = {one.after["status"]: one for one in lines(world)}
    assert sorted(told) == ["cancelled", "failed"]
    assert told["failed"].subject == f"acme/orders {failed.id}"
    assert told["failed"].actor == "manual"
    assert told["cancelled"].before["status"] == "pending"


def test_each_is_told_once_by_whoever_looks_and_more_than_one_look_takes(world, monkeypatch):
    monkeypatch.setattr(auditing, "AT_ONCE", 3)
    sync = world.sync("acme/orders")
    ended = [run(world, sync, followed=False).id for _ in range(10)]

    with ThreadPoolExecutor(4) as pool:
        looks = [pool.submit(audit_ended, world.catalog, world.clock()) for _ in range(4)]
        done = sum(look.result() for look in looks)
    again = audit_ended(world.catalog, world.clock())

    assert (done, again) == (10, 0)
    assert subjects(world) == Counter(f"acme/orders {one}" for one in ended)


def test_what_dies_half_way_has_written_nothing_and_the_next_look_does_it(world, monkeypatch):
    ended = run(world, world.sync("acme/orders"))

    def die(*_):
        raise ConnectionError("the disk is full")

    with monkeypatch.context() as patched, pytest.raises(ConnectionError):
        patched.setattr(audit, "append", die)
        audit_ended(world.catalog, world.clock())
    before = subjects(world)
    audit_ended(world.catalog, world.clock())

    assert before == Counter()
    assert subjects(world) == Counter([f"acme/orders {ended.id}"])


def test_an_execution_that_somebody_holds_holds_up_nobody_and_is_told_later(world):
    """Who holds it may wait for the chain: two that wait for each other would be a circle."""
    sync = world.sync("acme/orders")
    held, free = run(world, sync), run(world, sync)

    with world.catalog.begin() as db:
        db.execute(
            text("SELECT 1 FROM sync.sync_executions WHERE id = :id FOR UPDATE"), {"id": held.id}
        )
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(audit_ended, world.catalog, world.clock()).result(timeout=20)
        audit.record(
            db, at=world.clock(), actor="me", action="held", subject="it", tenant_id=sync.tenant_id
        )
    meanwhile = subjects(world)
    audit_ended(world.catalog, world.clock())

    assert done == 1
    assert meanwhile == Counter([f"acme/orders {free.id}"])
    assert subjects(world) == Counter(f"acme/orders {one.id}" for one in (held, free))
