from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import insert, select, text, update

from sync_pipelines.catalog import heartbeats, incidents
from sync_pipelines.catalog.due import lock_armed_for_all_tenants
from sync_pipelines.catalog.incidents import Kind
from sync_pipelines.catalog.tables import DecisionRow, ScheduleRow
from sync_pipelines.engine.dispatch import claim_due, left_behind
from sync_pipelines.engine.signs import DISPATCH_EVENTS, due_dispatcher, note_signs
from sync_pipelines.engine.steering import pause_sync
from sync_pipelines.engine.watch import EVERY_SECONDS, LOOKS, watch
from sync_pipelines.model.policy import Missed, MissedPolicy, Pause, Policies
from tests.world import START

MANY = 10_000
DAILY = {"type": "daily", "at": "02:00"}
AT_TWO = START.replace(hour=2) + timedelta(days=1)


def corrupt(world, schedule_id, **columns):
    with world.catalog.begin() as db:
        db.execute(update(ScheduleRow).where(ScheduleRow.id == schedule_id).values(**columns))


def row(world, schedule_id):
    with world.catalog.begin() as db:
        return db.execute(select(ScheduleRow.__table__).where(ScheduleRow.id == schedule_id)).one()


def found_incidents(world, *, only_open=False):
    with world.catalog.begin() as db:
        return incidents.list_incidents_for_all_tenants(db, only_open=only_open)


def beat(world, *names):
    with world.catalog.begin() as db:
        for name in names:
            heartbeats.beat(db, name, every_seconds=5, now=world.clock())


def keep_watch(world, *, seconds, beating=(DISPATCH_EVENTS,)):
    """Half a minute after another, as the sensor does; those of `beating` are alive."""
    found = []
    for _ in range(seconds // EVERY_SECONDS):
        world.clock.advance(seconds=EVERY_SECONDS)
        beat(world, *beating)
        found.append(watch(world.catalog, world.clock()))
    return found


def copies(world, schedule_id, number):
    """As many schedules like that one, each right as it is; their ids in no order."""
    like = row(world, schedule_id)._asdict()
    ids = [uuid4() for _ in range(number)]
    with world.catalog.begin() as db:
        db.execute(insert(ScheduleRow), [like | {"id": one, "name": f"copy-{one}"} for one in ids])
    return ids


def test_each_corruption_among_ten_thousand_schedules_is_mended_within_two_minutes(world):
    """Silence is an alarm: NULL, far future and past are found, armed, and told."""
    sync = world.sync()
    others = copies(world, world.schedule(sync, DAILY), MANY - 1)
    far = START + timedelta(days=3650)
    wrong = {others[0]: None, others[5_000]: far, others[-1]: START - timedelta(hours=3)}
    keep_watch(world, seconds=EVERY_SECONDS)  # The rows may have been looked at just before.
    for schedule_id, at in wrong.items():
        corrupt(world, schedule_id, next_run_at=at)

    looks = keep_watch(world, seconds=120 - EVERY_SECONDS)

    assert [row(world, schedule_id).next_run_at for schedule_id in wrong] == [AT_TWO] * 3
    assert sum(look.rearmed for look in looks) == 3
    assert sum(look.looked_at for look in looks) >= MANY
    told = found_incidents(world)
    assert {one.alarm.kind for one in told} == {Kind.SILENT_SCHEDULE}
    assert {one.alarm.tenant_id for one in told} == {sync.tenant_id}
    assert {one.alarm.details["next_run_at"] for one in told} == {
        None if at is None else at.isoformat() for at in wrong.values()
    }
    assert all(one.resolved_at is not None for one in told)


def test_what_a_silent_schedule_missed_is_decided_on_by_its_policy(world):
    """The watch arms it in the past, for the first instant that nobody decided on."""
    sync = world.sync()
    policies = Policies(missed=Missed(policy=MissedPolicy.ALL))
    hourly = {"type": "every", "minutes": 60}
    schedule_id = world.schedule(sync, hourly, policies=policies)
    corrupt(world, schedule_id, next_run_at=None)
    world.clock.advance(hours=3, minutes=2)
    nobody = claim_due(world.catalog, "database", world.clock(), tick="silent")

    watch(world.catalog, world.clock())
    claim_due(world.catalog, "database", world.clock(), tick="armed")

    with world.catalog.begin() as db:
        due = db.scalars(select(DecisionRow.due_at).order_by(DecisionRow.due_at)).all()
    assert nobody == []
    assert due == [START + timedelta(hours=hour) for hour in range(4)]


def test_a_schedule_that_was_decided_on_into_a_far_future_is_called_back(world):
    """A clock that jumped ahead and was set right must not leave a silence of years."""
    schedule_id = world.schedule(world.sync(), DAILY)
    far = START + timedelta(days=1000)
    corrupt(world, schedule_id, decided_until=far, next_run_at=far + timedelta(hours=14))

    watch(world.catalog, world.clock())

    assert row(world, schedule_id).next_run_at == AT_TWO
    assert row(world, schedule_id).decided_until == START


def test_what_is_idle_for_a_reason_or_armed_right_is_left_as_it_is(world):
    sync, paused = world.sync("acme/orders"), world.sync("acme/paused")
    policies = {
        "ended": Policies(ends_at=START - timedelta(days=1)),
        "paused": Policies(pause=Pause(reason="stocktaking")),
        "until": Policies(pause=Pause(reason="stocktaking", until=START + timedelta(days=9))),
        "spread": Policies(),
    }
    for name, each in policies.items():
        world.schedule(sync, DAILY, name=name, policies=each)
    world.schedule(sync, DAILY, name="off", is_active=False)
    world.schedule(sync, {"type": "manual"}, name="by hand")
    world.schedule(sync, {"type": "event", "trigger": "api"}, name="by event")
    world.schedule(sync, {"type": "every", "minutes": 15}, name="due")
    world.schedule(paused, DAILY, name="of a paused sync")
    with world.catalog.begin() as db:
        pause_sync(db, paused.id, tenant_id=paused.tenant_id, reason="moving", now=world.clock())
        before = db.execute(select(ScheduleRow.__table__).order_by(ScheduleRow.id)).all()

    looks = keep_watch(world, seconds=90)

    with world.catalog.begin() as db:
        after = db.execute(select(ScheduleRow.__table__).order_by(ScheduleRow.id)).all()
    assert after == before
    assert sum(look.rearmed for look in looks) == 0
    assert [one for one in found_incidents(world) if one.alarm.kind is Kind.SILENT_SCHEDULE] == []


def test_a_row_that_cannot_be_read_is_an_incident_until_it_can_and_blinds_nobody(world):
    sync = world.sync()
    bad = world.schedule(sync, DAILY, name="bad")
    good = world.schedule(sync, DAILY, name="good")
    config = row(world, bad).config
    corrupt(world, bad, config=config | {"cadence": {"type": "by moonlight"}})
    corrupt(world, good, next_run_at=None)

    keep_watch(world, seconds=120)
    (told,) = found_incidents(world, only_open=True)
    corrupt(world, bad, config=config)
    keep_watch(world, seconds=120)

    assert told.alarm.subject == "acme/orders/bad"
    assert "by moonlight" in told.alarm.message
    assert row(world, good).next_run_at == AT_TWO
    assert found_incidents(world, only_open=True) == []


def test_the_watch_and_a_dispatcher_at_once_leave_no_false_alarm(world):
    """What changes while the watch looks is looked at again, with the row held."""
    sync = world.sync()
    for number in range(30):
        world.schedule(sync, {"type": "every", "minutes": 1}, name=str(number))
    moments = [world.clock.now + timedelta(minutes=minute) for minute in range(12)]

    def dispatch():
        for at in moments:
            claim_due(world.catalog, "database", at, tick=f"database@{at.isoformat()}")

    with ThreadPoolExecutor(3) as pool:
        turns = [pool.submit(dispatch) for _ in range(2)]
        looks = [watch(world.catalog, START) for _ in range(40)]
        for turn in turns:
            turn.result()

    assert sum(look.rearmed for look in looks) == 0
    assert found_incidents(world) == []


def test_a_schedule_that_somebody_mends_while_the_watch_waits_for_it_is_not_called_wrong(world):
    schedule_id = world.schedule(world.sync(), DAILY)
    right = row(world, schedule_id).next_run_at
    corrupt(world, schedule_id, next_run_at=None)
    with ThreadPoolExecutor(1) as pool:
        with world.catalog.begin() as db:
            lock_armed_for_all_tenants(db, [schedule_id])
            looking = pool.submit(watch, world.catalog, world.clock())
            waited = wait_for_a_lock(world)
            changed = update(ScheduleRow).where(ScheduleRow.id == schedule_id)
            db.execute(changed.values(next_run_at=right))
        found = looking.result(timeout=30)

    assert waited
    assert found.rearmed == 0
    assert found_incidents(world) == []


def wait_for_a_lock(world):
    from sync_pipelines.runtime.waiting import wait_until

    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def somebody_waits():
        with world.catalog.begin() as db:
            return db.scalar(waiting) > 0

    return wait_until(somebody_waits, seconds=10)


def test_overdue_schedules_are_one_incident_of_their_dispatcher_until_it_has_caught_up(world):
    for number in range(3):
        sync = world.sync(f"acme/sync-{number}")
        world.schedule(sync, {"type": "every", "minutes": 5})
    watch(world.catalog, world.clock())
    early = keep_watch(world, seconds=90)

    late = keep_watch(world, seconds=60)
    (told,) = found_incidents(world, only_open=True)
    claim_due(world.catalog, "database", world.clock(), tick="back")
    keep_watch(world, seconds=30)

    assert [look.alarms for look in early] == [()] * 3
    assert late[0].alarms[0].subject == due_dispatcher("database")
    assert told.alarm.kind is Kind.STALLED_DISPATCHER
    assert "3 database schedules are overdue, the first since 2026-03-02 12:00:00" in (
        told.alarm.message
    )
    assert "start due_database_syncs" in told.alarm.remedy
    assert told.seen == 2
    assert found_incidents(world, only_open=True) == []
    assert found_incidents(world)[0].resolved_at == world.clock()


def signs(world, *, awake_since=START):
    """A look from outside the daemon, as `up` has it."""
    with world.catalog.begin() as db:
        return note_signs(db, world.clock(), awake_since=awake_since)


def test_a_daemon_that_dies_is_told_within_two_minutes_and_resolved_when_it_is_back(world):
    """Seen from outside: the watch in the daemon dies with it."""
    keep_watch(world, seconds=60)
    world.clock.advance(seconds=90)
    early = signs(world)
    world.clock.advance(seconds=30)

    (alarm,) = signs(world)
    (told,) = found_incidents(world, only_open=True)
    beat(world, DISPATCH_EVENTS)
    back = signs(world)

    assert (early, back) == ((), ())
    assert alarm.kind is Kind.DEAD_DAEMON
    assert "since 2026-03-02 12:01:00 UTC" in alarm.message
    assert "sync-pipelines up" in told.alarm.remedy
    assert found_incidents(world, only_open=True) == []


def test_a_stopped_sensor_is_told_by_its_name_while_others_live(world):
    beat(world, DISPATCH_EVENTS)

    keep_watch(world, seconds=150, beating=(due_dispatcher("database"),))

    (told,) = found_incidents(world, only_open=True)
    assert (told.alarm.kind, told.alarm.subject) == (Kind.STALLED_DISPATCHER, DISPATCH_EVENTS)


def test_a_watch_that_slept_gives_everybody_time_before_it_raises_anything(world):
    """After an outage of everything, the first looks come before the first turns."""
    world.schedule(world.sync(), {"type": "every", "minutes": 5})
    keep_watch(world, seconds=60)
    world.clock.advance(hours=8)

    looks = keep_watch(world, seconds=60, beating=())

    assert [look.alarms for look in looks] == [(), ()]


def test_what_an_earlier_turn_left_is_found_by_the_next_and_by_that_only(world):
    """An execution is handed over again only when nobody can be handing it over still."""
    world.schedule(world.sync(), {"type": "every", "minutes": 5})
    (launch,) = claim_due(world.catalog, "database", world.clock(), tick="database@one")

    same_turn = left_behind(world.catalog, "database", world.clock())
    world.clock.advance(minutes=1)
    anothers = left_behind(world.catalog, "shop", world.clock())
    (found,) = left_behind(world.catalog, "database", world.clock())

    assert (same_turn, anothers) == ([], [])
    assert found.key == launch.key


def test_incidents_of_a_tenant_are_its_own_and_the_installations(world):
    """R127."""
    mine, other = world.sync("acme/orders"), world.sync("zeta/orders")
    for sync in (mine, other):
        corrupt(world, world.schedule(sync, DAILY), next_run_at=None)
    keep_watch(world, seconds=LOOKS * EVERY_SECONDS)
    world.clock.advance(minutes=2)
    signs(world)

    with world.catalog.begin() as db:
        found = incidents.list_incidents(db, tenant_id=mine.tenant_id, only_open=False)

    assert {(one.alarm.kind, one.alarm.subject) for one in found} == {
        (Kind.DEAD_DAEMON, "daemon"),
        (Kind.SILENT_SCHEDULE, "acme/orders/main"),
    }
