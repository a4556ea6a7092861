"""Endpoints of inbound webhooks: who may send where, and how each fares.

Laws:

* A key is found by itself alone: it is 128 bits of chance, and names its tenant.
* Counts are gathered elsewhere and added here in one statement, so that a flood at one
  endpoint holds up nobody at its row.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db
from sqlalchemy import RowMapping, Select, and_, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from connectors.errors import ConfigError
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.syncs import find_tenant_id, missing
from sync_pipelines.catalog.tables import ConnectionRow, EndpointRow, TenantRow
from sync_pipelines.model.endpoint import Endpoint, Health, Secret


def _select() -> Select[Any]:
    return (
        select(
            EndpointRow.__table__,
            TenantRow.name.label("tenant"),
            TenantRow.takes_webhooks,
            ConnectionRow.name.label("connection"),
        )
        .join(TenantRow, TenantRow.id == EndpointRow.tenant_id)
        .outerjoin(
            ConnectionRow,
            and_(
                ConnectionRow.tenant_id == EndpointRow.tenant_id,
                ConnectionRow.id == EndpointRow.connection_id,
            ),
        )
    )


def find_by_key_for_all_tenants(db: Db, secrets: SecretBox, key: str) -> Endpoint | None:
    """The endpoint of a key; None if there is none, or its tenant is suspended.

    For all tenants, because nothing but the key says whose it is.
    """
    query = _select().where(EndpointRow.key == key, TenantRow.is_active)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _endpoint(row, secrets)


def find(db: Db, secrets: SecretBox, name: str, *, tenant: str) -> Endpoint:
    """A tenant's endpoint by its name; `NotFoundError` names the nearest."""
    tenant_id = find_tenant_id(db, tenant)
    mine = EndpointRow.tenant_id == tenant_id
    row = db.execute(_select().where(mine, EndpointRow.name == name)).mappings().one_or_none()
    if row is None:
        known = list(db.scalars(select(EndpointRow.name).where(mine)))
        if not known:
            raise missing("webhook endpoint", name, ["none yet: `sync-pipelines webhooks create`"])
        raise missing("webhook endpoint", name, known)
    return _endpoint(row, secrets)


def list_endpoints(db: Db, secrets: SecretBox, *, tenant: str) -> list[Endpoint]:
    """A tenant's endpoints by name."""
    query = (
        _select()
        .where(EndpointRow.tenant_id == find_tenant_id(db, tenant))
        .order_by(EndpointRow.name)
    )
    return [_endpoint(row, secrets) for row in db.execute(query).mappings()]


def create(db: Db, secrets: SecretBox, endpoint: Endpoint, *, now: datetime) -> Endpoint:
    """Store a new endpoint, as it is then; `ConfigError` when the tenant has one of that name."""
    connection_id = None
    if endpoint.connection is not None:
        query = select(ConnectionRow.id, ConnectionRow.name).where(
            ConnectionRow.tenant_id == endpoint.tenant_id
        )
        known = {row.name: row.id for row in db.execute(query)}
        if endpoint.connection not in known:
            raise missing("connection", endpoint.connection, list(known))
        connection_id = known[endpoint.connection]
    statement = (
        insert(EndpointRow)
        .values(
            id=endpoint.id,
            tenant_id=endpoint.tenant_id,
            connection_id=connection_id,
            name=endpoint.name,
            key=endpoint.key,
            scheme=endpoint.scheme,
            config=dict(endpoint.config),
            silence_after_seconds=_seconds(endpoint.silence_after),
            created_at=now,
            updated_at=now,
            **_sealed(secrets, endpoint.secrets),
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "name"])
        .returning(EndpointRow.id)
    )
    if db.scalar(statement) is None:
        raise ConfigError(
            f"tenant {endpoint.tenant!r} has a webhook endpoint {endpoint.name!r} already; "
            "choose another name, or remove that one first"
        )
    return find(db, secrets, endpoint.name, tenant=endpoint.tenant)


def put_secrets(
    db: Db, box: SecretBox, endpoint: Endpoint, secrets: Sequence[Secret], *, now: datetime
) -> None:
    """What proves an endpoint's requests from now on."""
    _update(db, endpoint, {**_sealed(box, secrets), "updated_at": now})


def switch(db: Db, endpoint: Endpoint, *, is_on: bool, now: datetime) -> None:
    """Switch one endpoint on or off."""
    _update(db, endpoint, {"is_active": is_on, "updated_at": now})


def remove(db: Db, endpoint: Endpoint) -> None:
    """Forget an endpoint with its deliveries; its events stay."""
    mine = (EndpointRow.id == endpoint.id, EndpointRow.tenant_id == endpoint.tenant_id)
    db.execute(delete(EndpointRow).where(*mine))


def switch_tenant(db: Db, *, tenant_id: UUID, is_on: bool, now: datetime) -> None:
    """Let a tenant's webhooks start something, or nothing at all."""
    values = {"takes_webhooks": is_on, "updated_at": now}
    db.execute(update(TenantRow).where(TenantRow.id == tenant_id).values(values))


_ADD = text("""
    UPDATE sync.webhook_endpoints AS e SET
        received = e.received + t.received,
        refused = e.refused + t.refused,
        failure_streak = t.streak + CASE WHEN t.received > 0 THEN 0 ELSE e.failure_streak END,
        last_received_at = greatest(e.last_received_at, t.last_received_at),
        last_refused_at = greatest(e.last_refused_at, t.last_refused_at),
        last_refusal = coalesce(t.last_refusal, e.last_refusal)
    FROM unnest(
        CAST(:ids AS uuid[]), CAST(:received AS bigint[]), CAST(:refused AS bigint[]),
        CAST(:streak AS bigint[]), CAST(:last_received_at AS timestamptz[]),
        CAST(:last_refused_at AS timestamptz[]), CAST(:last_refusal AS text[])
    ) AS t (id, received, refused, streak, last_received_at, last_refused_at, last_refusal)
    WHERE e.id = t.id
""")

_COUNTED = (
    "received",
    "refused",
    "streak",
    "last_received_at",
    "last_refused_at",
    "last_refusal",
)


def add_tallies_for_all_tenants(db: Db, tallies: Mapping[UUID, Health]) -> None:
    """Add what came to endpoints since the last time.

    For all tenants, because one gateway serves all of them.
    """
    if tallies:
        ordered = sorted(tallies.items())
        columns = {name: [getattr(tally, name) for _, tally in ordered] for name in _COUNTED}
        db.execute(_ADD, {"ids": [identity for identity, _ in ordered], **columns})


def silent_for_all_tenants(db: Db, secrets: SecretBox, now: datetime) -> list[Endpoint]:
    """Endpoints that should have heard something and have not.

    For all tenants, because the watch looks after all of them.
    """
    heard = func.coalesce(EndpointRow.last_received_at, EndpointRow.created_at)
    patience = func.make_interval(0, 0, 0, 0, 0, 0, EndpointRow.silence_after_seconds)
    query = _select().where(
        EndpointRow.silence_after_seconds.is_not(None),
        EndpointRow.is_active,
        TenantRow.takes_webhooks,
        TenantRow.is_active,
        heard + patience < now,
    )
    return [_endpoint(row, secrets) for row in db.execute(query).mappings()]


def refusing_for_all_tenants(db: Db, secrets: SecretBox, *, streak: int) -> list[Endpoint]:
    """Endpoints that refused so many requests in a row. For all tenants, for the watch."""
    query = _select().where(
        EndpointRow.failure_streak >= streak,
        EndpointRow.is_active,
        TenantRow.takes_webhooks,
        TenantRow.is_active,
    )
    return [_endpoint(row, secrets) for row in db.execute(query).mappings()]


def revivable_for_all_tenants(
    db: Db, secrets: SecretBox, schemes: Collection[str]
) -> list[Endpoint]:
    """Endpoints that are on and whose connection leads to who sends, by one of these schemes.

    For all tenants, because one job looks after all of them.
    """
    query = (
        _select()
        .where(
            EndpointRow.scheme.in_(list(schemes)),
            ConnectionRow.connector == EndpointRow.scheme,
            EndpointRow.is_active,
            TenantRow.takes_webhooks,
        )
        .order_by(EndpointRow.id)
    )
    return [_endpoint(row, secrets) for row in db.execute(query).mappings()]


def rotate_secrets_for_all_tenants(db: Db, secrets: SecretBox) -> int:
    """Re-encrypt every endpoint's secrets under the newest key; how many there were.

    For all tenants, because a key belongs to the installation.
    """
    rows = db.execute(select(EndpointRow.id, EndpointRow.secrets).with_for_update()).all()
    for identity, token in rows:
        values = {"secrets": secrets.seal(secrets.open(token)), "secrets_key_id": secrets.key_id}
        db.execute(update(EndpointRow).where(EndpointRow.id == identity).values(values))
    return len(rows)


def _update(db: Db, endpoint: Endpoint, values: Mapping[str, Any]) -> None:
    mine = (EndpointRow.id == endpoint.id, EndpointRow.tenant_id == endpoint.tenant_id)
    db.execute(update(EndpointRow).where(*mine).values(values))


def _sealed(box: SecretBox, secrets: Sequence[Secret]) -> dict[str, str]:
    held = [
        {"value": one.value, "until": one.until.isoformat() if one.until else None}
        for one in secrets
    ]
    return {"secrets": box.seal({"secrets": held}), "secrets_key_id": box.key_id}


def _opened(token: str, box: SecretBox) -> tuple[Secret, ...]:
    held: Any = box.open(token).get("secrets", [])
    return tuple(
        Secret(
            value=one["value"],
            until=datetime.fromisoformat(one["until"]) if one["until"] else None,
        )
        for one in held
    )


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())


def _endpoint(row: RowMapping, box: SecretBox) -> Endpoint:
    seconds = row["silence_after_seconds"]
    return Endpoint(
        id=row["id"],
        tenant_id=row["tenant_id"],
        tenant=row["tenant"],
        name=row["name"],
        connection=row["connection"],
        key=row["key"],
        scheme=row["scheme"],
        config=row["config"],
        secrets=_opened(row["secrets"], box),
        is_on=row["is_active"] and row["takes_webhooks"],
        silence_after=None if seconds is None else timedelta(seconds=seconds),
        health=Health(
            received=row["received"],
            refused=row["refused"],
            streak=row["failure_streak"],
            last_received_at=row["last_received_at"],
            last_refused_at=row["last_refused_at"],
            last_refusal=row["last_refusal"],
        ),
        created_at=row["created_at"],
    )
