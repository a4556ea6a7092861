"""A small world for tests of the catalog and the engine: a tenant with one sync."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sync_pipelines.catalog import schedules, syncs
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog, open_catalog
from sync_pipelines.engine.timetables import next_start, timetable_of
from sync_pipelines.model.cadence import parse_cadence
from sync_pipelines.model.retry import RetryPolicy
from sync_pipelines.model.schedule import Schedule
from sync_pipelines.model.sync import Sync, SyncStream

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """A clock that stands still until it is told to move."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> datetime:
        self.now += timedelta(**by)
        return self.now


def make_catalog(url: str) -> Catalog:
    return open_catalog(url, SecretBox((new_key(),)))


@dataclass
class World:
    """Puts tenants, connections, syncs and schedules into a catalog."""

    catalog: Catalog
    clock: FakeClock = field(default_factory=FakeClock)

    def sync(
        self,
        key: str = "acme/orders",
        *,
        streams: Sequence[SyncStream] = (SyncStream(name="orders"),),
        connector: str = "database",
        source: Mapping[str, object] | None = None,
        destination: Mapping[str, object] | None = None,
        retry: RetryPolicy | None = None,
    ) -> Sync:
        tenant, name = syncs.split_key(key)
        with self.catalog.begin() as db:
            tenant_id = syncs.put_tenant(db, tenant)
            ends = []
            for side, config in (("source", source), ("destination", destination)):
                syncs.put_connection(
                    db,
                    tenant_id,
                    name=f"{name}-{side}",
                    connector=connector,
                    config={},
                    sealed=self.catalog.secrets.seal(config or {}),
                    key_id=self.catalog.secrets.key_id,
                    now=self.clock(),
                )
                found = syncs.find_connection(db, self.catalog.secrets, f"{tenant}/{name}-{side}")
                ends.append(found)
            wanted = Sync(
                id=uuid4(),
                tenant_id=tenant_id,
                tenant=tenant,
                name=name,
                source=ends[0],
                destination=ends[1],
                dataset=name,
                streams=tuple(streams),
                retry=retry or RetryPolicy(jitter=0),
            )
            syncs.put_sync(db, tenant_id, sync=wanted, description=None, now=self.clock())
            return syncs.find_sync(db, self.catalog.secrets, key)

    def schedule(self, sync: Sync, cadence: Mapping[str, object], **fields: object) -> UUID:
        values = {
            "id": uuid4(),
            "tenant_id": sync.tenant_id,
            "sync_id": sync.id,
            "name": "main",
            "cadence": parse_cadence(cadence),
            "created_at": self.clock(),
            "decided_until": self.clock() - timedelta(microseconds=1),
            **fields,
        }
        schedule = Schedule(**values)  # type: ignore[arg-type]
        timetable = timetable_of(schedule, pause=None if sync.is_active else "paused")
        assert schedule.decided_until is not None
        coming = next_start(timetable, after=schedule.decided_until)
        with self.catalog.begin() as db:
            return schedules.put_schedule(
                db, replace(schedule, next_run_at=coming), now=self.clock()
            )
