"""Histories of schedules on a real catalog, drawn at random, judged by what they must obey.

What should have been decided is worked out here by brute force: instant by instant, from
each schedule as it stood, with no help of the rooms that decide. ``SYNC_TEST_HISTORIES``
is how many histories to live through; more than the usual few find more.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection as Db
from sqlalchemy import event, select, text

from sync_pipelines.apply import act
from sync_pipelines.apply.manifest import End, Manifest, WantedSchedule, WantedSync
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog import executions, schedules, syncs
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import DecisionRow, ExecutionRow, ScheduleRow
from sync_pipelines.catalog.tenants import Tenant, put_limits
from sync_pipelines.engine import steering
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.engine.dispatch import LimitReachedError, claim_due, ready, trigger
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.cadence import (
    Cadence,
    ClockChange,
    Cron,
    Every,
    Hourly,
    Manual,
)
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.policy import Pause, Policies
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.timing.bars import Cause, bar_at
from sync_pipelines.timing.decisions import Outcome
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.instants import instants
from sync_pipelines.timing.zones import find_zone
from tests.timing import strategies
from tests.timing.test_laws import near_changes
from tests.world import FakeClock, World, make_catalog

HISTORIES = int(os.environ.get("SYNC_TEST_HISTORIES", "15"))
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
LOOK_AHEAD = timedelta(days=20)
SYNCS = ("acme/orders", "acme/people", "zeta/orders")

cadences: st.SearchStrategy[Cadence] = st.one_of(
    strategies.walls,
    strategies.crons.filter(lambda cron: not cron.expression.startswith("*")),
    st.builds(Every, minutes=st.integers(5, 300)),
    st.builds(Hourly, minute=st.integers(0, 59)),
    st.sampled_from(["*/10 * * * *", "0 */6 * * *", "30 1-3 * * *"]).map(
        lambda written: Cron(expression=written)
    ),
    st.just(Manual()),
)
spans = st.one_of(
    st.timedeltas(timedelta(0), 10 * MINUTE),
    st.integers(0, 300).map(lambda minutes: minutes * MINUTE),
    st.timedeltas(timedelta(0), timedelta(days=2)),
    st.timedeltas(timedelta(0), timedelta(days=16)),
)


class KilledError(Exception):
    """The process is gone, in the middle of whatever it did."""


@dataclass(frozen=True)
class Version:
    """A schedule as it stood for a while; ``is_open`` unless it or its sync is switched off."""

    id: UUID
    cadence: Cadence
    zone: str
    rules: ClockChange
    policies: Policies
    anchor: datetime
    is_open: bool

    @cached_property
    def offset(self) -> timedelta:
        """How much later than due it starts."""
        table = Timetable(
            id=self.id,
            cadence=self.cadence,
            zone=self.zone,
            policies=self.policies,
            anchor=self.anchor,
        )
        return table.offset

    @property
    def slots(self) -> tuple[object, ...]:
        """What names its instants."""
        return self.cadence, self.zone, self.rules

    def due(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Its instants, one by one."""
        yield from instants(
            self.cadence, self.zone, self.rules, after=after, until=until, anchor=self.anchor
        )

    def bar(self, due_at: datetime) -> Cause | None:
        """What keeps the instant from starting anything."""
        if self.is_open:
            found = bar_at(self.policies, find_zone(self.zone), due_at + self.offset)
            return found.cause if found else None
        ends_at, starts_at = self.policies.ends_at, self.policies.starts_at
        at = due_at + self.offset
        if ends_at is not None and at >= ends_at:
            return Cause.ENDED
        return Cause.NOT_STARTED if starts_at is not None and at < starts_at else Cause.PAUSED

    def next_start(self, after: datetime) -> datetime | None:
        """When it may start something next, as far as anybody looks."""
        if not self.is_open or (self.policies.pause and self.policies.pause.until is None):
            return None
        for due_at in self.due(after, after + LOOK_AHEAD):
            cause = self.bar(due_at)
            if cause is Cause.ENDED:
                return None
            if cause is None:
                return due_at + self.offset
        return None


@dataclass
class Followed:
    """A schedule and what is expected of it: the instants up to ``cut``, with what bars them."""

    key: str
    name: str
    version: Version
    cut: datetime
    past: list[tuple[datetime, Cause | None]] = field(default_factory=list)
    is_removed: bool = False

    def expected(self, until: datetime) -> list[tuple[datetime, Cause | None]]:
        """Every instant that should have its decision, of all that the schedule has been."""
        due = self.version.due(self.cut, until)
        self.past += ((due_at, self.version.bar(due_at)) for due_at in due)
        self.cut = max(self.cut, until)
        return self.past

    def close(self, now: datetime, decided_until: datetime) -> None:
        """All that was due before a change belongs to the schedule as it stood."""
        self.expected(max(decided_until, now - self.version.offset))

    def become(self, version: Version, now: datetime) -> None:
        """From the cut on it is another; new slots count from now on only."""
        if version.slots != self.version.slots:
            self.cut = max(self.cut, now - version.offset)
        self.version = version


class History(RuleBasedStateMachine):
    """Everything that may happen to a few schedules, and what must hold whatever happens."""

    catalog: Catalog

    @initialize(data=st.data(), near=near_changes())
    def begin(self, data: st.DataObject, near: tuple[str, datetime]) -> None:
        _empty(self.catalog)
        self.zone, moment = near
        self.clock = FakeClock(moment)
        self.followed: dict[str, Followed] = {}
        self.is_off: set[str] = set()
        self.number = self.ticks = 0
        world = World(self.catalog, self.clock)
        self.syncs = {key: world.sync(key) for key in SYNCS}
        self.is_active = dict.fromkeys(SYNCS, True)
        self.limits = TenantLimits(
            concurrent=data.draw(st.sampled_from([None, 1, 2])),
            executions_per_hour=data.draw(st.sampled_from([None, None, 3])),
        )
        breaker = BreakerPolicy(failures=2, probe_after=HOUR)
        with self.catalog.begin() as db:
            acme = self.syncs["acme/orders"]
            tenant = Tenant(id=acme.tenant_id, name="acme", limits=self.limits)
            put_limits(db, tenant, now=self.clock())
            failing = replace(acme, breaker=breaker)
            syncs.put_sync(db, acme.tenant_id, sync=failing, description=None, now=self.clock())
        for key in SYNCS:
            self._put(key, self._drawn(data))

    # --- what people do ----------------------------------------------------------------

    @precondition(lambda self: self.number < 6)
    @rule(data=st.data(), key=st.sampled_from(SYNCS))
    def add(self, data: st.DataObject, key: str) -> None:
        self._put(key, self._drawn(data))

    @rule(data=st.data(), kind=st.sampled_from(["all", "policies", "spread", "cadence", "off"]))
    def edit(self, data: st.DataObject, kind: str) -> None:
        if (one := self._one(data)) is not None:
            self._put(one.key, self._changed(one, data, kind))

    @rule(data=st.data(), until=st.none() | st.timedeltas(-HOUR, timedelta(days=4)))
    def pause(self, data: st.DataObject, until: timedelta | None) -> None:
        if (one := self._one(data)) is None:
            return
        pause = Pause(
            reason="stocktaking", until=self.clock() + until if until is not None else None
        )
        with self._change([one]) as db:
            steering.pause_schedule(db, self._stored(one, db), pause, now=self.clock())
        policies = replace(one.version.policies, pause=pause)
        one.become(replace(one.version, policies=policies), self.clock())

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        if (one := self._one(data)) is None:
            return
        with self._change([one]) as db:
            steering.resume_schedule(db, self._stored(one, db), now=self.clock())
        policies = replace(one.version.policies, pause=None)
        opened = replace(one.version, policies=policies, is_open=self.is_active[one.key])
        one.become(opened, self.clock())
        self.is_off.discard(one.name)

    @rule(key=st.sampled_from(SYNCS), on=st.booleans(), by_file=st.booleans())
    def turn_sync(self, key: str, on: bool, by_file: bool) -> None:
        affected = self._of(key)
        if by_file and on is self.is_active[key]:
            return
        with self._change(affected) as db:
            if not by_file:
                self._steer(db, key, on)
        if by_file:
            act.apply(self.catalog, self._file(key, [], on=on), now=self.clock(), actor="test")
        self.is_active[key] = on
        for one in affected:
            is_open = on and one.name not in self.is_off
            one.become(replace(one.version, is_open=is_open), self.clock())

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if (one := self._one(data)) is None:
            return
        with self._change([one]) as db:
            steering.remove_schedule(db, self._stored(one, db), now=self.clock())
        one.is_removed = True

    @rule(key=st.sampled_from(SYNCS))
    def ask(self, key: str) -> None:
        try:
            trigger(self.catalog, self.syncs[key], now=self.clock())
        except LimitReachedError:
            assert self.limits.executions_per_hour is not None

    # --- what time and machines do -----------------------------------------------------

    @rule(span=spans)
    def wait(self, span: timedelta) -> None:
        self.clock.now += span

    @rule()
    def dispatch(self) -> None:
        claim_due(self.catalog, "database", self.clock(), tick=self._tick())
        self._nothing_is_left_due()

    @rule(span=spans)
    def wait_and_dispatch(self, span: timedelta) -> None:
        self.clock.now += span
        self.dispatch()

    @rule(statement=st.integers(1, 25))
    def die_while_dispatching(self, statement: int) -> None:
        tick = self._tick()
        with _killed_at(self.catalog, statement):
            claim_due(self.catalog, "database", self.clock(), tick=tick)
        claim_due(self.catalog, "database", self.clock(), tick=tick)
        self._nothing_is_left_due()

    @rule()
    def die_before_the_launches_are_handed_over(self) -> None:
        tick = self._tick()
        lost = claim_due(self.catalog, "database", self.clock(), tick=tick)
        again = claim_due(self.catalog, "database", self.clock(), tick=tick)

        assert {launch.key for launch in lost} <= {launch.key for launch in again}

    @rule(data=st.data(), span=spans, editing=st.booleans())
    def dispatch_from_three_at_once(
        self, data: st.DataObject, span: timedelta, editing: bool
    ) -> None:
        self.clock.now += span
        one = self._one(data) if editing else None
        changed = self._changed(one, data, "all") if one else None
        dispatching: Callable[[str], object] = lambda tick: claim_due(  # noqa: E731
            self.catalog, "database", self.clock(), tick=tick
        )
        with ThreadPoolExecutor(4) as pool:
            turns = [pool.submit(dispatching, self._tick()) for _ in range(3)]
            if changed is not None:
                self._put(one.key, changed)
            for turn in turns:
                turn.result()
        self._nothing_is_left_due()

    @rule(
        data=st.data(),
        how=st.sampled_from([*Status, None]),
        takes=st.timedeltas(timedelta(0), HOUR),
    )
    def work(self, data: st.DataObject, how: Status | None, takes: timedelta) -> None:
        """Some of what is queued starts, and some of what runs ends, or is retried."""
        ready(self.catalog, self.clock())
        self._work(data.draw(st.integers(0, 3)), how)
        self.clock.now += takes

    def _work(self, most: int, how: Status | None) -> None:
        with self.catalog.begin() as db:
            query = select(ExecutionRow.id).where(ExecutionRow.status.in_(["queued", "running"]))
            ids = list(db.scalars(query.order_by(ExecutionRow.id)))[:most]
        for execution_id in ids:
            with self.catalog.begin() as db:
                found = executions.lock_for_all_tenants(db, execution_id)
                if found.status is Status.QUEUED:
                    started = found.started(self.clock(), None)
                    assert executions.save(db, found, started)
                    continue
                executions.save(db, found, self._ended(found, how))
            follow_up(self.catalog, execution_id, self.clock())

    def _ended(self, running: Execution, how: Status | None) -> Execution:
        if how is not None and how.is_final:
            return running.ended(how, self.clock())
        if how is None:
            return running.to_retry(self.clock() + 7 * MINUTE)
        return running.ended(Status.COMPLETED, self.clock())

    @rule(data=st.data())
    def cancel_something(self, data: st.DataObject) -> None:
        with self.catalog.begin() as db:
            query = select(ExecutionRow.id).where(ExecutionRow.completed_at.is_(None))
            ids = list(db.scalars(query.order_by(ExecutionRow.id)))
        if ids:
            cancel(self.catalog, data.draw(st.sampled_from(ids)), now=self.clock())

    # --- what must hold ----------------------------------------------------------------

    @invariant()
    def every_instant_has_one_decision_and_every_start_one_execution(self) -> None:
        if not hasattr(self, "followed"):
            return
        with self.catalog.begin() as db:
            rows = {
                row["name"]: row for row in db.execute(select(ScheduleRow.__table__)).mappings()
            }
            found = db.execute(select(DecisionRow.__table__).order_by(DecisionRow.due_at))
            decided = list(found.mappings())
            scheduled = select(ExecutionRow.id, ExecutionRow.due_at)
            scheduled = scheduled.where(ExecutionRow.due_at.is_not(None))
            claimed = {row.id: row.due_at for row in db.execute(scheduled)}
        for one in self.followed.values():
            mine = [row for row in decided if row["schedule_name"] == one.name]
            if one.is_removed:
                assert one.name not in rows
                _covered(mine, one.past, one)
                continue
            row = rows[one.name]
            assert row["decided_until"] >= one.cut, one
            _covered(mine, one.expected(row["decided_until"]), one)
            expected = one.version.next_start(row["decided_until"])
            if expected is not None:
                assert row["next_run_at"] == expected, one
            else:
                beyond = row["decided_until"] + LOOK_AHEAD
                is_far = row["next_run_at"] is None or row["next_run_at"] > beyond
                assert is_far, one
        starts = [row for row in decided if Outcome(row["outcome"]).starts]
        assert {row["execution_id"]: row["due_at"] for row in starts} == claimed
        assert all(row["execution_id"] is None for row in decided if row not in starts)

    @invariant()
    def nothing_runs_beside_itself_or_beyond_a_limit(self) -> None:
        if not hasattr(self, "followed"):
            return
        with self.catalog.begin() as db:
            flying = db.execute(
                select(ExecutionRow.sync_id, ExecutionRow.tenant_id).where(
                    ExecutionRow.status.in_([Status.QUEUED, Status.RUNNING])
                )
            ).all()
            acme = self.syncs["acme/orders"].tenant_id
            made = select(ExecutionRow.created_at).where(ExecutionRow.tenant_id == acme)
            times = list(db.scalars(made))
        assert all(number == 1 for number in Counter(row.sync_id for row in flying).values())
        most = self.limits.concurrent
        assert most is None or sum(row.tenant_id == acme for row in flying) <= most
        most = self.limits.executions_per_hour
        for end in times if most is not None else ():
            assert sum(end - HOUR < at <= end for at in times) <= most

    def teardown(self) -> None:
        """Everything is let go on, and comes to its end."""
        if not hasattr(self, "followed"):
            return
        for key in SYNCS:
            self.turn_sync(key, True, False)
        for days in (0, 1, 3):
            self.clock.now += timedelta(days=days)
            for _ in range(4):
                self.dispatch()
                self._drain()
        self.every_instant_has_one_decision_and_every_start_one_execution()
        with self.catalog.begin() as db:
            left = db.scalars(select(ExecutionRow.id).where(ExecutionRow.completed_at.is_(None)))
            assert list(left) == []

    def _drain(self) -> None:
        for _ in range(60):
            ready(self.catalog, self.clock())
            self._work(100, Status.COMPLETED)
            self._work(100, Status.COMPLETED)
            self.nothing_runs_beside_itself_or_beyond_a_limit()
            self.clock.now += 8 * MINUTE
            with self.catalog.begin() as db:
                query = select(ExecutionRow.id).where(ExecutionRow.completed_at.is_(None))
                if not list(db.scalars(query)):
                    return

    def _nothing_is_left_due(self) -> None:
        with self.catalog.begin() as db:
            due = select(ScheduleRow.name).where(ScheduleRow.next_run_at <= self.clock())
            assert list(db.scalars(due)) == []

    # --- how it is done ----------------------------------------------------------------

    def _tick(self) -> str:
        self.ticks += 1
        return f"tick {self.ticks}"

    def _of(self, key: str) -> list[Followed]:
        return [one for one in self.followed.values() if one.key == key and not one.is_removed]

    def _one(self, data: st.DataObject) -> Followed | None:
        names = sorted(name for name, one in self.followed.items() if not one.is_removed)
        return self.followed[data.draw(st.sampled_from(names))] if names else None

    def _drawn(self, data: st.DataObject) -> WantedSchedule:
        self.number += 1
        return WantedSchedule(
            name=f"s{self.number}",
            line=1,
            cadence=data.draw(cadences),
            timezone=data.draw(st.sampled_from([self.zone, "UTC", "Australia/Lord_Howe"])),
            clock_change=data.draw(strategies.rules),
            policies=self._policies(data),
            is_active=True,
        )

    def _policies(self, data: st.DataObject) -> Policies:
        if data.draw(st.booleans()):
            return Policies()
        return data.draw(strategies.policies_about(self.clock()))

    def _changed(self, one: Followed, data: st.DataObject, kind: str) -> WantedSchedule:
        new, old = self._drawn(data), one.version
        self.number -= 1
        kept = replace(
            new,
            name=one.name,
            cadence=old.cadence,
            timezone=old.zone,
            clock_change=old.rules,
            policies=old.policies,
            is_active=one.name not in self.is_off,
        )
        spread = timedelta(minutes=data.draw(st.integers(0, 720)))
        return {
            "all": replace(new, name=one.name),
            "policies": replace(kept, policies=new.policies),
            "spread": replace(kept, policies=replace(old.policies, spread=spread)),
            "cadence": replace(kept, cadence=new.cadence, timezone=new.timezone),
            "off": replace(kept, is_active=not kept.is_active),
        }[kind]

    def _put(self, key: str, wanted: WantedSchedule) -> None:
        """Through a file, as people do."""
        now, old = self.clock(), self.followed.get(wanted.name)
        until = self._row(wanted.name)["decided_until"] if old else None
        try:
            act.apply(self.catalog, self._file(key, [wanted]), now=now, actor="test")
        except ManifestError:
            return  # a duplicate of another, or one that could never start anything
        stored = self._row(wanted.name)
        version = Version(
            id=stored["id"],
            cadence=wanted.cadence,
            zone=wanted.timezone,
            rules=wanted.clock_change,
            policies=wanted.policies,
            anchor=stored["created_at"].astimezone(UTC).replace(second=0, microsecond=0),
            is_open=wanted.is_active and self.is_active[key],
        )
        if wanted.is_active:
            self.is_off.discard(wanted.name)
        else:
            self.is_off.add(wanted.name)
        if old is None:
            cut = now - version.offset
            self.followed[wanted.name] = Followed(key, wanted.name, version, cut)
        elif old.version != version:
            old.close(now, until)
            old.become(version, now)

    def _file(self, key: str, wanted: list[WantedSchedule], *, on: bool | None = None) -> Parsed:
        sync = self.syncs[key]
        written = WantedSync(
            name=sync.name,
            line=1,
            source=End(role="source", name=sync.source.name, line=1),
            destination=End(role="destination", name=sync.destination.name, line=1),
            dataset=sync.dataset,
            streams=sync.streams,
            retry=sync.retry,
            is_active=on,
            schedules=tuple(wanted),
        )
        return Parsed(
            manifest=Manifest(file="test.yaml", tenant=sync.tenant, syncs=(written,)), problems=()
        )

    def _row(self, name: str):
        with self.catalog.begin() as db:
            query = select(ScheduleRow.__table__).where(ScheduleRow.name == name)
            return db.execute(query).mappings().one()

    def _stored(self, one: Followed, db: Db) -> Schedule:
        return schedules.find_schedule(db, f"{one.key}/{one.name}")

    def _close(self, changing: list[Followed]) -> None:
        for one in changing:
            one.close(self.clock(), self._row(one.name)["decided_until"])

    @contextmanager
    def _change(self, changing: list[Followed]) -> Iterator[Db]:
        self._close(changing)
        with self.catalog.begin() as db:
            yield db

    def _steer(self, db: Db, key: str, on: bool) -> None:
        sync, now = self.syncs[key], self.clock()
        if on:
            steering.resume_sync(db, sync.id, tenant_id=sync.tenant_id, now=now)
        else:
            steering.pause_sync(
                db, sync.id, tenant_id=sync.tenant_id, reason="stocktaking", now=now
            )


def _covered(rows: list, expected: list[tuple[datetime, Cause | None]], one: Followed) -> None:
    """Each instant by one row, in order, with nothing between; and none that is barred starts."""
    place = 0
    for row in rows:
        instants_of_row = expected[place : place + row["count"]]
        place += row["count"]
        ends = [due_at for due_at, _ in (instants_of_row[:1] + instants_of_row[-1:])]
        assert ends == [row["first_due_at"], row["due_at"]], (row, one)
        causes = {cause for _, cause in instants_of_row}
        if Outcome(row["outcome"]).starts or row["outcome"] == Outcome.COLLAPSED:
            assert causes == {None}, (row, one)
        elif causes != {None}:
            assert causes == {row["cause"]}, (row, one)
    assert place == len(expected), (expected[place], one)


def _empty(catalog: Catalog) -> None:
    with catalog.begin() as db:
        for table in ("syncs", "tenants", "audit_log"):
            db.execute(text(f"DELETE FROM sync.{table}"))
        db.execute(text("ALTER SEQUENCE sync.test_ids RESTART"))


@contextmanager
def _killed_at(catalog: Catalog, statement: int) -> Iterator[None]:
    """The process dies at that statement, if it comes so far."""
    left = [statement]

    def count(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KilledError

    event.listen(catalog.engine, "before_cursor_execute", count)
    try:
        yield
    except KilledError:
        pass
    finally:
        event.remove(catalog.engine, "before_cursor_execute", count)


@pytest.fixture(scope="module")
def catalog(postgres_url: str) -> Iterator[Catalog]:
    """One whose ids are the same in each history, as a spread depends on them."""
    opened = make_catalog(postgres_url)
    with opened.begin() as db:
        db.execute(text("CREATE SEQUENCE sync.test_ids"))
        for table in ("sync_schedules", "syncs", "sync_executions"):
            drawn = "md5(nextval('sync.test_ids')::text)::uuid"
            db.execute(text(f"ALTER TABLE sync.{table} ALTER id SET DEFAULT {drawn}"))
    yield opened
    opened.close()


@pytest.mark.timeout(1200)
def test_whatever_happens_every_instant_is_decided_once(catalog: Catalog):
    """R74, R92, R94, T14, laws 2 and 5."""

    class OnCatalog(History):
        pass

    OnCatalog.catalog = catalog
    run_state_machine_as_test(
        OnCatalog,
        settings=settings(
            deadline=None,
            max_examples=HISTORIES,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
