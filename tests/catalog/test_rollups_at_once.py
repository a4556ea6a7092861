"""Executions that end and are removed at the same time are counted by day all the same."""

from threading import Event, Thread

import pytest
from sqlalchemy import delete, text, update

from sync_pipelines.catalog.tables import ExecutionRow
from sync_pipelines.model.execution import Status
from sync_pipelines.runtime.waiting import wait_until
from tests.catalog.days import add, counted, expected, row


def test_one_who_ends_and_one_who_removes_at_the_same_time_are_both_counted(shared, sync):
    """Who counts anew waits for whoever adds to the day, and then sees it."""
    old, gone, ending = row(sync), row(sync), row(sync, status=Status.QUEUED)
    with shared.catalog.begin() as db:
        add(db, old, gone, ending)

    def remove():
        with shared.catalog.begin() as db:
            db.execute(text("SET LOCAL application_name = 'remover'"))
            db.execute(delete(ExecutionRow).where(ExecutionRow.id == gone["id"]))

    removing = Thread(target=remove)
    with shared.catalog.begin() as db:
        of_it = update(ExecutionRow).where(ExecutionRow.id == ending["id"])
        db.execute(of_it.values(status="completed"))
        removing.start()
        is_waiting = wait_until(lambda: bool(blocked(shared)), seconds=10, every=0.02)
    removing.join()

    assert is_waiting
    with shared.catalog.begin() as db:
        ((_, day),) = counted(db, sync.tenant_id).items()
        assert day["completed"] == 2
        assert counted(db, sync.tenant_id) == expected(db, sync.tenant_id)


def blocked(shared, name="remover"):
    """The kind of lock that somebody waits for; None if they wait for none."""
    waiting = text("""
        SELECT wait_event FROM pg_stat_activity
        WHERE application_name = :name AND wait_event_type = 'Lock'
    """)
    with shared.catalog.begin() as db:
        return db.execute(waiting, {"name": name}).scalar_one_or_none()


@pytest.fixture
def pause(shared):
    """Stops a remover after it has taken its days and before it counts; what lets it go on."""
    function = """
        CREATE FUNCTION sync.stop_remover() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF current_setting('application_name') = 'remover' THEN
                PERFORM pg_advisory_xact_lock(7);
            END IF;
            RETURN NULL;
        END $$"""
    trigger = """
        CREATE TRIGGER stop_remover AFTER INSERT ON sync.execution_days
        FOR EACH STATEMENT EXECUTE FUNCTION sync.stop_remover()"""
    with shared.catalog.begin() as db:
        db.execute(text(function))
        db.execute(text(trigger))
    with shared.catalog.engine.connect() as held:
        held.execute(text("SELECT pg_advisory_xact_lock(7)"))
        yield held.rollback
    with shared.catalog.begin() as db:
        db.execute(text("DROP FUNCTION sync.stop_remover CASCADE"))


def test_one_who_ends_while_another_is_about_to_count_is_counted_too(shared, sync, pause):
    """Who counts anew keeps the day from its first look until its end."""
    old, gone, ending = row(sync), row(sync), row(sync, status=Status.QUEUED)
    with shared.catalog.begin() as db:
        add(db, old, gone, ending)
    ended, may_commit = Event(), Event()

    def remove():
        with shared.catalog.begin() as db:
            db.execute(text("SET LOCAL application_name = 'remover'"))
            db.execute(delete(ExecutionRow).where(ExecutionRow.id == gone["id"]))

    def end():
        with shared.catalog.begin() as db:
            db.execute(text("SET LOCAL application_name = 'ender'"))
            of_it = update(ExecutionRow).where(ExecutionRow.id == ending["id"])
            db.execute(of_it.values(status="completed"))
            ended.set()
            may_commit.wait(20)

    removing, finishing = Thread(target=remove), Thread(target=end)
    removing.start()
    stopped = wait_until(lambda: blocked(shared) == "advisory", seconds=10, every=0.02)
    finishing.start()
    wait_until(lambda: ended.is_set() or bool(blocked(shared, "ender")), seconds=10, every=0.02)
    pause()
    # Had it let the day go, it would count now, and wait for who ends only when it writes.
    wait_until(
        lambda: not removing.is_alive() or blocked(shared) == "transactionid",
        seconds=10,
        every=0.02,
    )
    may_commit.set()
    removing.join()
    finishing.join()

    assert stopped
    with shared.catalog.begin() as db:
        assert counted(db, sync.tenant_id) == expected(db, sync.tenant_id)
