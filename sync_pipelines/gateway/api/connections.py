"""``/api/v2/connections``: the systems that a tenant has connected.

Law: no answer holds a secret, nor anything of one.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlalchemy import Connection as Db

from connectors import registry
from sync_pipelines.apply.body import Body, body_of, parsed_connection
from sync_pipelines.apply.current import Current
from sync_pipelines.apply.parse import Parsed
from sync_pipelines.apply.secret_fields import harmless_keys
from sync_pipelines.apply.spelled import merged
from sync_pipelines.catalog import audit, listing, removing
from sync_pipelines.catalog.listing import ConnectionListed, NameSort
from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.gateway.api.changing import already, check_same, nothing, plan_and_act
from sync_pipelines.gateway.api.once import OnceAdmin, OnceRoute
from sync_pipelines.gateway.api.paging import Cursor, Limit, cursor_of, key_of
from sync_pipelines.gateway.api.reaching import reaching
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.api.versions import IfMatch, answered, check_match, etag
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Admin, Caller, Viewer
from sync_pipelines.gateway.problems import ProblemError, not_found
from sync_pipelines.model.sync import Connection

router = APIRouter(prefix="/api/v2/connections", tags=["connections"], route_class=OnceRoute)

SHOP: JsonDict = {
    "name": "shop",
    "connector": "database",
    "config": {"url": "postgresql://reader:secret@db.example.com/shop"},
}


class ConnectionWanted(BaseModel):
    """A connection to be made. ``config`` is what its connector takes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [SHOP]})

    name: str = Field(max_length=63)
    connector: str = Field(max_length=100)
    config: Json = Field(default_factory=dict)


class ConnectionPut(BaseModel):
    """A connection's whole configuration, secrets too. ``name`` and ``connector`` stay."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    connector: str | None = None
    config: Json = Field(default_factory=dict)


class ConnectionPatch(BaseModel):
    """A JSON merge patch (RFC 7396); secrets that are not named stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"config": {"connect_timeout_seconds": 5}}]},
    )

    name: str | None = None
    connector: str | None = None
    config: Json = Field(default_factory=dict)


class ConnectionTold(BaseModel):
    """A connection; of its secrets only the names that its connector gives them."""

    id: UUID
    name: str
    connector: str
    config: Json = Field(description="What is no secret.")
    secret_fields: list[str]
    created_at: datetime
    updated_at: datetime


class Connections(BaseModel):
    """A page of connections."""

    items: list[ConnectionTold]
    next: str | None


@router.get("")
def list_(
    caller: Viewer,
    connector: str | None = None,
    sort: NameSort = NameSort.NAME,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Connections:
    """The tenant's connections."""
    with caller.catalog.begin() as db:
        found = listing.list_connections(
            db,
            tenant_id=caller.tenant.id,
            connector=connector,
            sort=sort,
            after=key_of(cursor, sort),
            limit=limit,
        )
    items = [_told(one) for one in found.items]
    return Connections(items=items, next=cursor_of(found.next, sort))


@router.post("", status_code=HTTPStatus.CREATED)
def create(
    wanted: ConnectionWanted, caller: OnceAdmin, response: Response, doors: ItsDoors
) -> ConnectionTold:
    """Make a connection; 409 if there is one of that name. Nothing is opened yet."""
    body = body_of(wanted.model_dump(exclude_unset=True))

    def want(_: Db, current: Current) -> tuple[Body, Parsed]:
        if current.connection(wanted.name) is not None:
            raise already("connection", wanted.name)
        return body, _parsed(caller, doors, body, wanted.name, None)

    plan_and_act(caller, doors, want)
    with caller.catalog.begin() as db:
        made = listing.find_connection_named(db, wanted.name, tenant_id=caller.tenant.id)
    assert made is not None, "it was made just now"
    response.headers["Location"] = f"{router.prefix}/{made.id}"
    return answered(_told(made), response, version=_etag(made))


@router.get("/{connection_id}")
def get(connection_id: UUID, caller: Viewer, response: Response) -> ConnectionTold:
    """One connection, without its secrets."""
    with caller.catalog.begin() as db:
        found = found_connection(db, caller, connection_id)
    return answered(_told(found), response, version=_etag(found))


@router.put("/{connection_id}")
def put(
    connection_id: UUID,
    wanted: ConnectionPut,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> ConnectionTold:
    """Replace a connection's configuration, secrets too."""
    written = wanted.model_dump(exclude_unset=True)
    _change(caller, doors, connection_id, written, is_patch=False, if_match=if_match)
    return get(connection_id, caller, response)


@router.patch("/{connection_id}")
def patch(
    connection_id: UUID,
    wanted: ConnectionPatch,
    caller: Admin,
    response: Response,
    doors: ItsDoors,
    if_match: IfMatch = None,
) -> ConnectionTold:
    """Change a part of a connection's configuration."""
    written = wanted.model_dump(exclude_unset=True)
    _change(caller, doors, connection_id, written, is_patch=True, if_match=if_match)
    return get(connection_id, caller, response)


@router.delete("/{connection_id}", status_code=HTTPStatus.NO_CONTENT)
def delete(connection_id: UUID, caller: Admin, doors: ItsDoors, if_match: IfMatch = None) -> None:
    """Remove a connection; 409 while a sync or a webhook endpoint uses it."""

    def want(db: Db, _: Current) -> tuple[Body, Parsed]:
        held = found_connection(db, caller, connection_id)
        check_match(if_match, _etag(held))
        tenant_id = caller.tenant.id
        users = removing.users_of_connection(db, connection_id, tenant_id=tenant_id)
        users += removing.endpoints_of_connection(db, connection_id, tenant_id=tenant_id)
        if users:
            detail = f"{', '.join(users[:10])} use it; remove or change those first"
            raise ProblemError(HTTPStatus.CONFLICT, detail)
        removing.delete_connection(db, connection_id, tenant_id=tenant_id)
        audit.record(
            db,
            at=doors.clock(),
            actor=caller.actor,
            action="connection.deleted",
            subject=f"{caller.tenant.name}/{held.name}",
            tenant_id=tenant_id,
            before={"connector": held.connector, "config": held.config},
        )
        return body_of({}), nothing(caller.tenant.name)

    plan_and_act(caller, doors, want)


def _change(
    caller: Caller,
    doors: Doors,
    connection_id: UUID,
    written: Mapping[str, Any],
    *,
    is_patch: bool,
    if_match: str | None,
) -> None:
    def want(db: Db, current: Current) -> tuple[Body, Parsed]:
        listed = found_connection(db, caller, connection_id)
        check_match(if_match, _etag(listed))
        check_same("name", written.get("name"), listed.name)
        check_same("connector", written.get("connector"), listed.connector)
        held = current.connection(listed.name)
        assert held is not None
        config = written.get("config", {})
        if is_patch:
            config = merged(held.config, config)  # type: ignore[arg-type]  # it is JSON
        body = body_of({"connector": listed.connector, "config": config})
        return body, _parsed(caller, doors, body, listed.name, held)

    plan_and_act(caller, doors, want)


def _parsed(caller: Caller, doors: Doors, body: Body, name: str, held: Connection | None) -> Parsed:
    """What a body says, which may not lead where the caller's tenant may not go."""
    parsed = parsed_connection(body, caller.tenant.name, name)
    manifest = parsed.manifest
    judged = tuple(
        reaching(wanted, held, caller=caller, doors=doors) for wanted in manifest.connections
    )
    return replace(parsed, manifest=replace(manifest, connections=judged))


def found_connection(db: Db, caller: Caller, connection_id: UUID) -> ConnectionListed:
    """A connection of the caller's tenant, or 404."""
    found = listing.find_connection(db, connection_id, tenant_id=caller.tenant.id)
    if found is None:
        raise not_found("connection", connection_id)
    return found


def opened_connection(caller: Caller, connection_id: UUID) -> Connection:
    """A connection with its secrets, to be used; or 404."""
    view = caller.catalog
    with view.begin() as db:
        name = found_connection(db, caller, connection_id).name
        return find_connection(db, view.secrets, f"{caller.tenant.name}/{name}")


def _etag(found: ConnectionListed) -> str:
    return etag({"id": found.id, "config": found.config}, found.updated_at)


def _told(found: ConnectionListed) -> ConnectionTold:
    config = registry.get(found.connector).config
    harmless = harmless_keys(config)
    return ConnectionTold(
        id=found.id,
        name=found.name,
        connector=found.connector,
        config={key: value for key, value in found.config.items() if key in harmless},
        secret_fields=sorted(set(config.model_fields) - harmless),
        created_at=found.created_at,
        updated_at=found.updated_at,
    )
