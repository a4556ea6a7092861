"""Opens connections, and lends them what the catalog has: a shared budget, a token store.

Law: what may not lead into this network is looked at right before it is opened, however
good it was when it was saved. Over HTTP the address that was looked at is the one connected
to; elsewhere a name that changes within that moment, or while the connection is open, does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import local
from typing import Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection as Db
from sqlalchemy.exc import IntegrityError, OperationalError

from connectors import registry
from connectors.addresses import Lookup, addresses_of
from connectors.contract import Destination, Source
from connectors.errors import ConfigError, ContractError, TransientError
from connectors.http.pace import LocalBudget
from connectors.surroundings import Heard, Lease, Rate, Surrounded, Surroundings, Tokens
from sync_pipelines.catalog import budgets, tokens_of_connections
from sync_pipelines.catalog.places import Places
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_tenant_id
from sync_pipelines.clock import system_clock
from sync_pipelines.engine.progress import Spent
from sync_pipelines.model.sync import Connection

log = structlog.get_logger()

End = TypeVar("End", Source, Destination)


def open_source(catalog: Catalog, connection: Connection, *, spent: Spent | None = None) -> Source:
    """The connection as a source, with its surroundings; its calls are added to ``spent``."""
    check_reach(connection)
    source = registry.get(connection.connector).open_source(connection.config)
    return _surrounded(source, catalog, connection, spent)


def open_destination(
    catalog: Catalog, connection: Connection, *, spent: Spent | None = None
) -> Destination:
    """The connection as a destination; see `open_source`."""
    check_reach(connection)
    destination = registry.get(connection.connector).open_destination(connection.config)
    return _surrounded(destination, catalog, connection, spent)


def surroundings_of(
    catalog: Catalog, connection: Connection, *, spent: Spent | None = None
) -> Surroundings:
    """What one connection is lent; nothing is asked of the catalog before it is used."""
    owner = _Owner(catalog=catalog, connection=connection)
    return Surroundings(
        budget=SharedBudget(owner, spent or Spent()),
        tokens=SharedTokens(owner),
        allow_private=connection.reaches_private,
    )


def check_reach(connection: Connection, *, lookup: Lookup = addresses_of) -> None:
    """`ConfigError` if a connection that may not lead into this network does so now."""
    if connection.reaches_private:
        return
    reach = registry.get(connection.connector).reached(connection.config)
    for host in reach.unknown(lookup):
        raise TransientError(f"the host {host!r} has no address at present")
    for host in reach.inside(lookup):
        raise ConfigError(
            f"the host {host!r} leads inside this network now, where connection "
            f"{connection.tenant}/{connection.name} may not go; an instance admin may save it "
            "so that it may"
        )


def _surrounded(end: End, catalog: Catalog, connection: Connection, spent: Spent | None) -> End:
    if isinstance(end, Surrounded):
        end.surround(surroundings_of(catalog, connection, spent=spent))
    return end


@dataclass(slots=True, kw_only=True)
class _Owner:
    """A connection, and whose it is."""

    catalog: Catalog
    connection: Connection
    _tenant_id: UUID | None = None

    def tenant_id(self, db: Db) -> UUID:
        """The tenant's id, asked for once."""
        if self._tenant_id is None:
            self._tenant_id = find_tenant_id(db, self.connection.tenant)
        return self._tenant_id


@dataclass(slots=True)
class SharedBudget:
    """A `Budget` in the catalog; what is heard is added to ``spent``, too."""

    owner: _Owner
    spent: Spent = field(default_factory=Spent)
    _alone: LocalBudget = field(default_factory=lambda: LocalBudget(now=system_clock))
    _places: Places = field(init=False)

    def __post_init__(self) -> None:
        self._places = Places(self.owner.catalog.engine, str(self.owner.connection.id))

    def take(self, bucket: str, rate: Rate | None, *, wanted: int, heard: Heard) -> Lease:
        """See `Budget.take`; `TransientError` while the catalog does not answer."""
        owner = self.owner
        self.spent.add(heard)
        try:
            with owner.catalog.begin() as db:
                return budgets.take(
                    db,
                    owner.connection.id,
                    bucket,
                    rate,
                    tenant_id=owner.tenant_id(db),
                    wanted=wanted,
                    heard=heard,
                )
        except IntegrityError:
            # The connection was removed under a run that still goes on: nobody shares it.
            return self._alone.take(bucket, rate, wanted=wanted, heard=heard)
        except OperationalError as error:
            raise TransientError(f"the catalog does not answer: {error.orig}") from error

    def tell(self, bucket: str, heard: Heard) -> None:
        """See `Budget.tell`."""
        owner = self.owner
        self.spent.add(heard)
        try:
            with owner.catalog.begin() as db:
                tenant_id = owner.tenant_id(db)
                budgets.note(db, owner.connection.id, bucket, heard, tenant_id=tenant_id)
        except OperationalError as error:
            log.warning("budget.untold", bucket=bucket, reason=str(error.orig))

    def enter(self, most: int) -> int | None:
        """See `Budget.enter`; `TransientError` while the catalog does not answer."""
        try:
            return self._places.enter(most)
        except OperationalError as error:
            raise TransientError(f"the catalog does not answer: {error.orig}") from error

    def leave(self, place: int) -> None:
        """See `Budget.leave`."""
        try:
            self._places.leave(place)
        except OperationalError as error:
            log.warning("budget.place.lost", reason=str(error.orig))


class SharedTokens:
    """A `TokenStore` in the catalog."""

    def __init__(self, owner: _Owner) -> None:
        """``owner`` is whose tokens they are."""
        self._owner = owner
        self._held: Any = local()

    def load(self) -> Tokens | None:
        """See `TokenStore.load`."""
        held = getattr(self._held, "db", None)
        if held is not None:
            return self._find(held)
        with self._owner.catalog.begin() as db:
            return self._find(db)

    def _find(self, db: Db) -> Tokens | None:
        owner = self._owner
        return tokens_of_connections.find(
            db, owner.catalog.secrets, owner.connection.id, tenant_id=owner.tenant_id(db)
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See `TokenStore.lock`."""
        with self._owner.catalog.begin() as db:
            tokens_of_connections.lock(db, self._owner.connection.id)
            self._held.db = db
            try:
                yield
            finally:
                self._held.db = None

    def save(self, tokens: Tokens) -> None:
        """See `TokenStore.save`."""
        db = getattr(self._held, "db", None)
        if db is None:
            raise ContractError("tokens are saved inside the lock only")
        owner = self._owner
        tokens_of_connections.put(
            db,
            owner.catalog.secrets,
            owner.connection.id,
            tokens,
            tenant_id=owner.tenant_id(db),
        )
