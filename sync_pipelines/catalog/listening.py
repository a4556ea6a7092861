"""Word of executions that move on, as PostgreSQL sends it, and where they then stand.

Law: a notice says only which execution has changed. Where it stands is read: so a notice
that came twice, late or not at all costs nothing but time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import psycopg
from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, func, select

from connectors.contract import Counts
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.tables import ExecutionRow, SyncRow, TenantRow
from sync_pipelines.model.execution import Status

CHANNEL = "sync_progress"
"""Where the trigger on executions sends to; see migration 0009."""

APPLICATION = "sync-pipelines progress"

QUIET_SECONDS = 15.0
"""After so long without a notice, the connection is asked whether it still lives."""

ANSWER_SECONDS = 5.0

Key: TypeAlias = tuple[UUID, UUID]
"""An execution: its tenant's id, and its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where an execution stands; ``progress`` as a running one's row shows it."""

    id: UUID
    tenant_id: UUID
    sync_key: str
    status: Status
    attempt: int
    progress: Mapping[str, Any]
    counts: Counts
    started_at: datetime | None
    completed_at: datetime | None
    next_attempt_at: datetime | None
    is_cancelling: bool
    error_message: str | None


def stand_of(db: Db, execution_id: UUID, *, tenant_id: UUID) -> Stand | None:
    """Where one execution of a tenant stands; None if there is none."""
    row = db.execute(
        _SELECTED.where(ExecutionRow.id == execution_id, ExecutionRow.tenant_id == tenant_id)
    )
    found = row.mappings().one_or_none()
    return None if found is None else _stand(found)


def stands_for_all_tenants(db: Db, keys: Collection[Key]) -> Mapping[Key, Stand]:
    """Where these stand, those that are still there.

    For all tenants, because one reader serves all who watch.
    """
    rows = db.execute(_SELECTED.where(ExecutionRow.id.in_({key[1] for key in keys}))).mappings()
    found = {(row["tenant_id"], row["id"]): _stand(row) for row in rows}
    return {key: found[key] for key in keys if key in found}


@asynccontextmanager
async def listening(catalog: Catalog) -> AsyncIterator[AsyncIterator[Key | None]]:
    """Notices, on a connection of their own; None now and then where there are none.

    Raises `psycopg.OperationalError` or `TimeoutError` when the connection is lost.
    """
    url = catalog.engine.url.set(drivername="postgresql")
    connection = await psycopg.AsyncConnection.connect(
        url.render_as_string(hide_password=False),
        autocommit=True,
        connect_timeout=int(ANSWER_SECONDS),
        application_name=APPLICATION,
    )
    async with connection:
        await connection.execute(f"LISTEN {CHANNEL}")
        # Closed before the connection, which waits for whoever listens on it.
        async with aclosing(_notices(connection)) as notices:
            yield notices


async def _notices(
    connection: psycopg.AsyncConnection[tuple[Any, ...]],
) -> AsyncGenerator[Key | None, None]:
    while True:
        async with aclosing(connection.notifies(timeout=QUIET_SECONDS)) as heard:
            async for notice in heard:
                tenant_id, _, execution_id = notice.payload.partition(" ")
                yield UUID(tenant_id), UUID(execution_id)
        await asyncio.wait_for(connection.execute("SELECT 1"), ANSWER_SECONDS)
        yield None


_COUNTED = ("processed", "created", "updated", "deleted", "rejected")

_SELECTED = (
    select(
        *(
            getattr(ExecutionRow, name)
            for name in (
                *("id", "tenant_id", "status", "attempt", "progress", "bytes_moved"),
                *("started_at", "completed_at", "next_attempt_at", "cancel_requested_at"),
                "error_message",
                *(f"records_{kind}" for kind in _COUNTED),
            )
        ),
        func.concat(TenantRow.name, "/", SyncRow.name).label("sync_key"),
    )
    .join(SyncRow, SyncRow.id == ExecutionRow.sync_id)
    .join(TenantRow, TenantRow.id == ExecutionRow.tenant_id)
)


def _stand(row: RowMapping) -> Stand:
    return Stand(
        id=row["id"],
        tenant_id=row["tenant_id"],
        sync_key=row["sync_key"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        progress=row["progress"],
        counts=Counts(
            **{kind: row[f"records_{kind}"] for kind in _COUNTED}, bytes=row["bytes_moved"]
        ),
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        next_attempt_at=row["next_attempt_at"],
        is_cancelling=row["cancel_requested_at"] is not None,
        error_message=row["error_message"],
    )
