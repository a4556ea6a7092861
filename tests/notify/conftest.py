"""A catalog with a tenant whose syncs fail and succeed as a test wants, and its rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text

from sync_pipelines.catalog import inbox, outbox, users
from sync_pipelines.catalog.inbox import Message
from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.outbox import Delivery
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import OutboxRow
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.execution import Status
from sync_pipelines.model.notification import Channel, Rule, Topic
from sync_pipelines.model.roles import Role
from sync_pipelines.model.sync import Sync
from tests.engine.settling import run
from tests.notify.receiver import Receiver, receiving
from tests.world import FakeClock, World, make_catalog

EVERYTHING = tuple(Topic)


@dataclass
class Told:
    """A world, and what is told in it."""

    world: World
    _syncs: dict[str, Sync] = field(default_factory=dict)

    @property
    def catalog(self) -> Catalog:
        return self.world.catalog

    @property
    def clock(self) -> FakeClock:
        return self.world.clock

    def sync(self, key: str = "acme/orders", *, source: Mapping[str, object] | None = None) -> Sync:
        if key not in self._syncs:
            self._syncs[key] = self.world.sync(key, source=source)
        return self._syncs[key]

    def shared(
        self, keys: Sequence[str], *, source: Mapping[str, object] | None = None
    ) -> list[Sync]:
        """Syncs that all read from the connection of the first."""
        first, *others = (self.sync(key, source=source) for key in keys)
        with self.catalog.begin() as db:
            for other in others:
                db.execute(
                    text("UPDATE sync.syncs SET source_id = :source WHERE id = :id"),
                    {"source": first.source.id, "id": other.id},
                )
        return [first, *others]

    def rule(self, channel: Channel = Channel.EMAIL, **fields: object) -> Rule:
        named = channel in (Channel.EMAIL, Channel.IN_APP)
        values = {
            "id": uuid4(),
            "tenant_id": self.sync().tenant_id,
            "name": f"rule {uuid4().hex[:6]}",
            "channel": channel,
            "topics": EVERYTHING,
            "recipients": ("ana@example.com",) if named else (),
            "targets": () if named else ("https://example.com/hook",),
            "shown": None if named else "https://example.com",
            **fields,
        }
        rule = Rule(**values)  # type: ignore[arg-type]
        with self.catalog.begin() as db:
            put_rule(db, self.catalog.secrets, rule, now=self.clock())
        return rule

    def user(self, email: str = "ana@example.com", role: Role = Role.VIEWER) -> UUID:
        with self.catalog.begin() as db:
            user = users.make_user(db, email, password_hash=None, now=self.clock())
            users.put_membership(db, user, tenant_id=self.sync().tenant_id, role=role)
            return user.id

    def fail(self, key: str = "acme/orders", error: ErrorClass = ErrorClass.AUTH, **more: object):
        return run(self.world, self.sync(key), Status.FAILED, error=error, **more)

    def succeed(self, key: str = "acme/orders"):
        return run(self.world, self.sync(key), Status.COMPLETED)

    def posted(self, rule: Rule | None = None) -> list[Delivery]:
        """What was put into the outbox, oldest first."""
        with self.catalog.begin() as db:
            query = select(OutboxRow.__table__).order_by(OutboxRow.created_at, OutboxRow.event_id)
            found = [outbox.delivery_of(row) for row in db.execute(query).mappings()]
        return [one for one in found if rule is None or one.rule_id == rule.id]

    def topics(self, rule: Rule) -> list[Topic]:
        return [one.topic for one in self.posted(rule)]

    def inbox(self) -> list[Message]:
        with self.catalog.begin() as db:
            return inbox.list_messages(
                db, tenant_id=self.sync().tenant_id, now=self.clock(), every=True
            )


@pytest.fixture(scope="module")
def one_receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def receiver(one_receiver: Receiver) -> Receiver:
    """A receiver of webhooks that has had nothing yet."""
    one_receiver.forget()
    return one_receiver


@pytest.fixture(scope="module")
def one_catalog(postgres_url: str) -> Iterator[Catalog]:
    catalog = make_catalog(postgres_url)
    yield catalog
    catalog.close()


@pytest.fixture
def told(one_catalog: Catalog) -> Told:
    """A catalog in which there is nothing but what the test puts there."""
    with one_catalog.begin() as db:
        names = db.scalars(
            text(
                "SELECT quote_ident(tablename) FROM pg_tables "
                "WHERE schemaname = 'sync' AND tablename <> 'alembic_version'"
            )
        )
        tables = ", ".join(f"sync.{name}" for name in names)
        db.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return Told(World(one_catalog, FakeClock()))
