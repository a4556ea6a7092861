"""What lives through a random history: a catalog, a clock, and schedules with what is expected.

What people do to schedules is done here as they do it, by files and commands; which of it
is done, and when, is drawn by the machines that build on this.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test
from sqlalchemy import Connection as Db
from sqlalchemy import event, select, text

from sync_pipelines.apply import act
from sync_pipelines.apply.manifest import End, Manifest, WantedSchedule, WantedSync
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.problems import ManifestError
from sync_pipelines.catalog import executions, schedules, syncs
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import ExecutionRow, ScheduleRow
from sync_pipelines.catalog.tenants import Tenant, put_limits
from sync_pipelines.engine import steering
from sync_pipelines.engine.aftermath import follow_up
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.cadence import Adaptive, Cadence, Cron, Every, Hourly, Manual
from sync_pipelines.model.execution import Execution, Status
from sync_pipelines.model.limits import TenantLimits
from sync_pipelines.model.policy import Policies
from sync_pipelines.model.schedule import Schedule
from tests.engine.expecting import Followed, Version
from tests.timing import strategies
from tests.world import FakeClock, World, make_catalog

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
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


class Life(RuleBasedStateMachine):
    """A few schedules on a catalog, and all that is needed to change them."""

    catalog: Catalog
    cadences = cadences

    def furnish(self, data: st.DataObject, near: tuple[str, datetime]) -> None:
        """Two tenants, three syncs, and a schedule of each."""
        empty(self.catalog)
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

    def tick(self) -> str:
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
            cadence=data.draw(self.cadences),
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
            cadence=old.learns or old.cadence,
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
        cadence, anchor = present(wanted.cadence, stored)
        version = Version(
            id=stored["id"],
            cadence=cadence,
            zone=wanted.timezone,
            rules=wanted.clock_change,
            policies=wanted.policies,
            anchor=anchor,
            is_open=wanted.is_active and self.is_active[key],
            learns=wanted.cadence if isinstance(wanted.cadence, Adaptive) else None,
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

    def let_work(self, most: int, how: Status | None) -> None:
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
            self.follow(execution_id)

    def follow(self, execution_id: UUID) -> None:
        """Do what its end brings about, if it has ended."""
        follow_up(self.catalog, execution_id, self.clock())

    def attend(self) -> None:
        """Whatever else is done while everything comes to its end."""

    def _ended(self, running: Execution, how: Status | None) -> Execution:
        if how is not None and how.is_final:
            return running.ended(how, self.clock())
        if how is None:
            return running.to_retry(self.clock() + 7 * MINUTE)
        return running.ended(Status.COMPLETED, self.clock())

    def nothing_is_left_due(self) -> None:
        with self.catalog.begin() as db:
            due = select(ScheduleRow.name).where(ScheduleRow.next_run_at <= self.clock())
            assert list(db.scalars(due)) == []

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


def present(cadence: Cadence, stored: Mapping[str, Any]) -> tuple[Cadence, datetime]:
    """What clocks drive now, as the schedule's row says, and what it counts from."""
    made: datetime = stored["created_at"].astimezone(UTC)
    anchor = made.replace(second=0, microsecond=0)
    if not isinstance(cadence, Adaptive):
        return cadence, anchor
    learned = stored["learned"]
    if learned is None:
        return Every(minutes=cadence.least), anchor
    return Every(minutes=learned["minutes"]), datetime.fromisoformat(learned["since"])


def empty(catalog: Catalog) -> None:
    with catalog.begin() as db:
        for table in ("syncs", "tenants", "audit_log"):
            db.execute(text(f"DELETE FROM sync.{table}"))
        db.execute(text("ALTER SEQUENCE sync.test_ids RESTART"))


@contextmanager
def killed_at(catalog: Catalog, statement: int) -> Iterator[None]:
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


@contextmanager
def numbered_catalog(url: str) -> Iterator[Catalog]:
    """One whose ids are the same in each history, as a spread depends on them."""
    opened = make_catalog(url)
    with opened.begin() as db:
        db.execute(text("CREATE SEQUENCE sync.test_ids"))
        for table in ("sync_schedules", "syncs", "sync_executions"):
            drawn = "md5(nextval('sync.test_ids')::text)::uuid"
            db.execute(text(f"ALTER TABLE sync.{table} ALTER id SET DEFAULT {drawn}"))
    yield opened
    opened.close()


def live(machine: type[Life], catalog: Catalog, *, histories: int) -> None:
    """Live through so many histories of a machine."""
    on_catalog = type(machine.__name__, (machine,), {"catalog": catalog})
    run_state_machine_as_test(
        on_catalog,
        settings=settings(
            deadline=None,
            max_examples=histories,
            stateful_step_count=25,
            suppress_health_check=list(HealthCheck),
        ),
    )
