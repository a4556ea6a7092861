"""How syncs have fared: the breakers' memory."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import Row, delete, select
from sqlalchemy.dialects.postgresql import insert

from sync_pipelines.catalog.tables import BreakerRow
from sync_pipelines.model.breaker import Breaker


def find(db: Db, sync_id: UUID, *, tenant_id: UUID) -> Breaker:
    """A sync's breaker; closed, where it has not failed."""
    query = select(BreakerRow.__table__).where(
        BreakerRow.sync_id == sync_id, BreakerRow.tenant_id == tenant_id
    )
    row = db.execute(query).one_or_none()
    return Breaker() if row is None else _breaker(row)


def find_for_all_tenants(db: Db, sync_ids: Iterable[UUID]) -> dict[UUID, Breaker]:
    """The breakers of syncs that have failed.

    For all tenants, because a dispatcher decides on many syncs at once.
    """
    query = select(BreakerRow.__table__).where(BreakerRow.sync_id.in_(set(sync_ids)))
    return {row.sync_id: _breaker(row) for row in db.execute(query)}


def put(db: Db, sync_id: UUID, breaker: Breaker, *, tenant_id: UUID) -> None:
    """Keep a breaker; one that has nothing to remember is forgotten."""
    if breaker == Breaker():
        db.execute(
            delete(BreakerRow).where(
                BreakerRow.sync_id == sync_id, BreakerRow.tenant_id == tenant_id
            )
        )
        return
    values = {
        "failures": breaker.failures,
        "opened_at": breaker.opened_at,
        "probes": breaker.probes,
        "probe_at": breaker.probe_at,
    }
    db.execute(
        insert(BreakerRow)
        .values(sync_id=sync_id, tenant_id=tenant_id, **values)
        .on_conflict_do_update(index_elements=["sync_id"], set_=values)
    )


def _breaker(row: Row[Any]) -> Breaker:
    return Breaker(
        failures=row.failures,
        opened_at=row.opened_at,
        probes=row.probes,
        probe_at=row.probe_at,
    )
