"""``/api/v2/webhooks``: where a tenant's providers send to.

A secret that was made up is shown once, so that no answer is kept under an
``Idempotency-Key`` here: a name is taken once anyway.
"""

from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from sync_pipelines.catalog import endpoints
from sync_pipelines.engine import webhooks
from sync_pipelines.engine.webhooks import Made
from sync_pipelines.gateway.api.changing import already
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.doors import Doors, ItsDoors
from sync_pipelines.gateway.identity import Admin, Caller, Viewer
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.roles import Role

router = APIRouter(prefix="/api/v2/webhooks", tags=["webhooks"])

MOST_SILENT_MINUTES = 366 * 24 * 60


class EndpointWanted(BaseModel):
    """An endpoint to be made. Without ``secret`` one is made up."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "shop-orders", "scheme": "woocommerce"}]},
    )

    name: str = Field(max_length=63)
    scheme: str = Field(max_length=63)
    options: Json = Field(default_factory=dict, description="Of the scheme.")
    connection: str | None = Field(default=None, max_length=63)
    secret: SecretStr | None = Field(default=None, max_length=1000)
    silence_after_minutes: int | None = Field(default=None, ge=1, le=MOST_SILENT_MINUTES)


class RotationWanted(BaseModel):
    """A new secret; without one it is made up. The old one stays good for a while."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr | None = Field(default=None, max_length=1000)


class EndpointTold(BaseModel):
    """An endpoint and its health; ``path`` is for admins, null for others."""

    id: UUID
    name: str
    scheme: str
    connection: str | None
    options: Json
    path: str | None
    is_on: bool
    silence_after_minutes: int | None
    received: int
    refused: int
    failure_rate: float
    last_received_at: datetime | None
    last_refused_at: datetime | None
    last_refusal: str | None
    created_at: datetime


class EndpointMade(EndpointTold):
    """With the secret that was made up, shown this once; null where one was given."""

    secret: str | None


class Endpoints(BaseModel):
    """All of a tenant's endpoints, by name."""

    items: list[EndpointTold]


@router.get("")
def list_(caller: Viewer) -> Endpoints:
    """The tenant's endpoints, with what has come in."""
    view = caller.catalog
    with view.begin() as db:
        found = endpoints.list_endpoints(db, view.secrets, tenant=caller.tenant.name)
    return Endpoints(items=[_told(one, caller) for one in found])


@router.post("", status_code=HTTPStatus.CREATED)
def create(
    wanted: EndpointWanted, caller: Admin, response: Response, doors: ItsDoors
) -> EndpointMade:
    """Make an endpoint; 409 if there is one of that name."""
    if any(one.name == wanted.name for one in list_(caller).items):
        raise already("webhook endpoint", wanted.name)
    silent = wanted.silence_after_minutes
    made = webhooks.create(
        caller.catalog,
        tenant=caller.tenant.name,
        name=wanted.name,
        scheme=wanted.scheme,
        options=wanted.options,
        connection=wanted.connection,
        secret=_opened(wanted.secret),
        silence_after=None if silent is None else timedelta(minutes=silent),
        actor=caller.actor,
        now=doors.clock(),
    )
    return _shown(made, caller, response)


@router.get("/{name}")
def get(name: str, caller: Viewer) -> EndpointTold:
    """One endpoint."""
    view = caller.catalog
    with view.begin() as db:
        return _told(endpoints.find(db, view.secrets, name, tenant=caller.tenant.name), caller)


@router.delete("/{name}", status_code=HTTPStatus.NO_CONTENT)
def delete(name: str, caller: Admin, doors: ItsDoors) -> None:
    """Forget an endpoint with what came to it; its URL is nobody's from now on."""
    webhooks.remove(
        caller.catalog,
        name,
        tenant=caller.tenant.name,
        actor=caller.actor,
        now=doors.clock(),
    )


@router.post("/{name}/rotate")
def rotate(
    name: str, wanted: RotationWanted, caller: Admin, response: Response, doors: ItsDoors
) -> EndpointMade:
    """Give it a new secret; the old one stays good for a day."""
    made = webhooks.rotate(
        caller.catalog,
        name,
        tenant=caller.tenant.name,
        secret=_opened(wanted.secret),
        actor=caller.actor,
        now=doors.clock(),
    )
    return _shown(made, caller, response)


@router.post("/{name}/enable")
def enable(name: str, caller: Admin, doors: ItsDoors) -> EndpointTold:
    """Let what comes to it count. Once is as often."""
    return _switched(caller, doors, name, is_on=True)


@router.post("/{name}/disable")
def disable(name: str, caller: Admin, doors: ItsDoors) -> EndpointTold:
    """Answer what comes to it, and drop it. Once is as often."""
    return _switched(caller, doors, name, is_on=False)


def _switched(caller: Caller, doors: Doors, name: str, *, is_on: bool) -> EndpointTold:
    found = webhooks.switch(
        caller.catalog,
        name,
        tenant=caller.tenant.name,
        is_on=is_on,
        actor=caller.actor,
        now=doors.clock(),
    )
    return _told(found, caller)


def _opened(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _shown(made: Made, caller: Caller, response: Response) -> EndpointMade:
    response.headers["Cache-Control"] = "no-store"
    return EndpointMade(**_told(made.endpoint, caller).model_dump(), secret=made.secret)


def _told(endpoint: Endpoint, caller: Caller) -> EndpointTold:
    health, silent = endpoint.health, endpoint.silence_after
    return EndpointTold(
        id=endpoint.id,
        name=endpoint.name,
        scheme=endpoint.scheme,
        connection=endpoint.connection,
        options=dict(endpoint.config),
        path=f"/webhooks/{endpoint.key}" if caller.role.allows(Role.ADMIN) else None,
        is_on=endpoint.is_on,
        silence_after_minutes=None if silent is None else silent // timedelta(minutes=1),
        received=health.received,
        refused=health.refused,
        failure_rate=health.failure_rate,
        last_received_at=health.last_received_at,
        last_refused_at=health.last_refused_at,
        last_refusal=health.last_refusal,
        created_at=endpoint.created_at,
    )
