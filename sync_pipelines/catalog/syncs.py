"""Tenants, connections and syncs: reading and writing what was configured."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from connectors.errors import ConfigError
from sync_pipelines.catalog import tokens_of_connections
from sync_pipelines.catalog.codec import (
    breaker_from_json,
    breaker_to_json,
    retry_from_json,
    retry_to_json,
    stream_from_json,
    stream_to_json,
)
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.tables import ConnectionRow, SyncRow, TenantRow
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.sync import Connection, Sync


class NotFoundError(ConfigError):
    """Nothing of that name belongs to that tenant."""


def missing(kind: str, name: str, known: Sequence[str]) -> NotFoundError:
    """The error that says so, with the nearest name there is."""
    near = get_close_matches(name, known, n=1)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif known:
        hint = f"there are: {', '.join(sorted(known)[:10])}"
    else:
        hint = f"there is no {kind} yet; `sync-pipelines apply -f FILE` makes one"
    return NotFoundError(f"no {kind} {name!r}; {hint}")


def split_key(key: str) -> tuple[str, str]:
    """``tenant/name`` in two; `ConfigError` when it is not that."""
    tenant, slash, name = key.partition("/")
    if not (tenant and slash and name) or "/" in name:
        raise ConfigError(f"{key!r} should be TENANT/NAME, for example demo/flights")
    return tenant, name


def find_tenant_id(db: Db, tenant: str) -> UUID:
    """The tenant's id; `NotFoundError` when there is no such tenant."""
    found = db.scalar(select(TenantRow.id).where(TenantRow.name == tenant))
    if found is None:
        raise NotFoundError(
            f"no tenant {tenant!r}; `sync-pipelines apply -f FILE` with `tenant: {tenant}` "
            "in the file makes it"
        )
    return found


def put_tenant(db: Db, tenant: str) -> UUID:
    """The tenant's id, made if it is new."""
    if db.scalar(select(TenantRow.id).where(TenantRow.name == tenant)) is None:
        db.execute(insert(TenantRow).values(name=tenant).on_conflict_do_nothing())
    return find_tenant_id(db, tenant)


# --- connections -----------------------------------------------------------------


def find_connection(db: Db, secrets: SecretBox, key: str) -> Connection:
    """The connection ``tenant/name`` with its secrets opened."""
    tenant, name = split_key(key)
    tenant_id = find_tenant_id(db, tenant)
    query = select(ConnectionRow.__table__).where(
        ConnectionRow.tenant_id == tenant_id, ConnectionRow.name == name
    )
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise missing("connection", name, _names(db, ConnectionRow, tenant_id))
    return _connection(row, tenant, secrets)


def list_connections(db: Db, secrets: SecretBox, tenant: str) -> list[Connection]:
    """A tenant's connections by name, secrets opened."""
    tenant_id = find_tenant_id(db, tenant)
    query = (
        select(ConnectionRow.__table__)
        .where(ConnectionRow.tenant_id == tenant_id)
        .order_by(ConnectionRow.name)
    )
    return [_connection(row, tenant, secrets) for row in db.execute(query).mappings()]


def put_connection(
    db: Db,
    tenant_id: UUID,
    *,
    name: str,
    connector: str,
    config: Mapping[str, Any],
    sealed: str | None,
    key_id: str | None,
    most_at_once: int | None = None,
    reaches_private: bool = True,
    now: datetime,
) -> UUID:
    """Create or change a connection; ``sealed`` is `SecretBox.seal` of its secret fields.

    ``most_at_once`` is how many executions the system behind it bears at a time.
    """
    values = {
        "connector": connector,
        "config": dict(config),
        "secrets": sealed,
        "secrets_key_id": key_id,
        "most_at_once": most_at_once,
        "reaches_private": reaches_private,
        "updated_at": now,
    }
    statement = (
        insert(ConnectionRow)
        .values(tenant_id=tenant_id, name=name, **values)
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_=values)
        .returning(ConnectionRow.id)
    )
    return db.execute(statement).scalar_one()


def rotate_secrets_for_all_tenants(db: Db, secrets: SecretBox) -> int:
    """Re-encrypt every connection under the newest key; how many there were.

    For all tenants, because a key belongs to the installation.
    """
    rows = db.execute(
        select(ConnectionRow.id, ConnectionRow.secrets)
        .where(ConnectionRow.secrets.is_not(None))
        .with_for_update()
    ).all()
    for identity, token in rows:
        assert token is not None
        values = {"secrets": secrets.seal(secrets.open(token)), "secrets_key_id": secrets.key_id}
        db.execute(update(ConnectionRow).where(ConnectionRow.id == identity).values(values))
    tokens_of_connections.rotate_for_all_tenants(db, secrets)
    return len(rows)


def _connection(row: RowMapping, tenant: str, secrets: SecretBox) -> Connection:
    return Connection(
        id=row["id"],
        tenant=tenant,
        name=row["name"],
        connector=row["connector"],
        config=_opened(row["config"], row["secrets"], secrets),
        reaches_private=row["reaches_private"],
    )


def _opened(config: Mapping[str, Any], sealed: str | None, secrets: SecretBox) -> Mapping[str, Any]:
    """A connection's whole configuration, as its connector wants it."""
    return {**config, **(secrets.open(sealed) if sealed else {})}


# --- syncs -----------------------------------------------------------------------


@cache
def _select_syncs() -> Select[Any]:
    """Made once: to put it together takes longer than to run it."""
    source, destination = aliased(ConnectionRow), aliased(ConnectionRow)
    parts = ("id", "name", "connector", "config", "secrets", "reaches_private")
    return (
        select(
            SyncRow.__table__,
            TenantRow.name.label("tenant"),
            *(getattr(source, part).label(f"source_{part}_") for part in parts),
            *(getattr(destination, part).label(f"destination_{part}_") for part in parts),
        )
        .join(TenantRow, TenantRow.id == SyncRow.tenant_id)
        .join(source, source.id == SyncRow.source_id)
        .join(destination, destination.id == SyncRow.destination_id)
    )


def find_sync(db: Db, secrets: SecretBox, key: str) -> Sync:
    """The sync ``tenant/name`` with both connections, secrets opened."""
    tenant, name = split_key(key)
    query = _select_syncs().where(TenantRow.name == tenant, SyncRow.name == name)
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise missing("sync", name, _names(db, SyncRow, find_tenant_id(db, tenant)))
    return _sync(row, secrets)


def list_syncs(db: Db, secrets: SecretBox, tenant: str) -> list[Sync]:
    """A tenant's syncs by name."""
    query = _select_syncs().where(TenantRow.name == tenant).order_by(SyncRow.name)
    return [_sync(row, secrets) for row in db.execute(query).mappings()]


def sync_keys_for_all_tenants(db: Db, connector: str) -> list[str]:
    """``tenant/sync`` of every sync that reads from a connector.

    For all tenants, because they are the partitions of one Dagster asset.
    """
    key = func.concat(TenantRow.name, "/", SyncRow.name)
    query = (
        select(key)
        .select_from(SyncRow)
        .join(TenantRow, TenantRow.id == SyncRow.tenant_id)
        .where(SyncRow.connector == connector)
        .order_by(key)
    )
    return list(db.scalars(query))


def tenants_for_all_tenants(db: Db) -> list[str]:
    """Every tenant's name, for whoever runs the installation."""
    return list(db.scalars(select(TenantRow.name).order_by(TenantRow.name)))


def put_sync(
    db: Db, tenant_id: UUID, *, sync: Sync, description: str | None, now: datetime
) -> UUID:
    """Create or change a sync; ``sync.id`` is ignored, its name decides which one it is."""
    values = {
        "description": description,
        "source_id": sync.source.id,
        "destination_id": sync.destination.id,
        "connector": sync.connector,
        "dataset": sync.dataset,
        "streams": [stream_to_json(stream) for stream in sync.streams],
        "retry": retry_to_json(sync.retry),
        "breaker": breaker_to_json(sync.breaker),
        "tags": list(sync.tags),
        "is_active": sync.is_active,
        "pause_reason": None if sync.is_active else sync.pause_reason,
        "updated_at": now,
    }
    statement = (
        insert(SyncRow)
        .values(tenant_id=tenant_id, name=sync.name, **values)
        .on_conflict_do_update(index_elements=["tenant_id", "name"], set_=values)
        .returning(SyncRow.id)
    )
    return db.execute(statement).scalar_one()


def breaker_policy(db: Db, sync_id: UUID, *, tenant_id: UUID) -> BreakerPolicy:
    """When a sync that keeps failing is left alone."""
    query = select(SyncRow.breaker).where(SyncRow.id == sync_id, SyncRow.tenant_id == tenant_id)
    return breaker_from_json(db.execute(query).scalar_one())


def set_active(
    db: Db, sync_id: UUID, *, tenant_id: UUID, is_active: bool, reason: str | None, now: datetime
) -> None:
    """Pause or resume a sync; ``reason`` says why it is paused."""
    values = {
        "is_active": is_active,
        "pause_reason": None if is_active else reason,
        "updated_at": now,
    }
    mine = (SyncRow.id == sync_id, SyncRow.tenant_id == tenant_id)
    db.execute(update(SyncRow).where(*mine).values(values))


def _sync(row: RowMapping, secrets: SecretBox) -> Sync:
    def end(side: str) -> Connection:
        return Connection(
            id=row[f"{side}_id_"],
            tenant=row["tenant"],
            name=row[f"{side}_name_"],
            connector=row[f"{side}_connector_"],
            config=_opened(row[f"{side}_config_"], row[f"{side}_secrets_"], secrets),
            reaches_private=row[f"{side}_reaches_private_"],
        )

    return Sync(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant=row["tenant"],
        name=row["name"],
        source=end("source"),
        destination=end("destination"),
        dataset=row["dataset"],
        streams=tuple(stream_from_json(stream) for stream in row["streams"]),
        retry=retry_from_json(row["retry"]),
        breaker=breaker_from_json(row["breaker"]),
        is_active=row["is_active"],
        pause_reason=row["pause_reason"],
        tags=tuple(row["tags"]),
    )


def _names(db: Db, table: type[ConnectionRow] | type[SyncRow], tenant_id: UUID) -> list[str]:
    return list(db.scalars(select(table.name).where(table.tenant_id == tenant_id)))
