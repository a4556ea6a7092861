"""``/api/v2/connectors``: the systems that can be connected."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from connectors import registry
from connectors.errors import ConfigError
from connectors.registry import Connector
from sync_pipelines.apply.secret_fields import harmless_keys
from sync_pipelines.gateway.api.shapes import Json
from sync_pipelines.gateway.identity import Viewer
from sync_pipelines.gateway.problems import not_found

router = APIRouter(prefix="/api/v2/connectors", tags=["connectors"])


class ConnectorTold(BaseModel):
    """A connector, and what a connection to it is configured by."""

    name: str
    title: str
    roles: list[str]
    collection: str = Field(description="What its streams are called together.")
    config_schema: Json = Field(description="JSON Schema of a connection's `config`.")
    secret_fields: list[str]


class Connectors(BaseModel):
    """Every connector, by name."""

    items: list[ConnectorTold]


@router.get("")
def list_(_: Viewer) -> Connectors:
    """All connectors."""
    return Connectors(items=[_told(registry.get(name)) for name in registry.names()])


@router.get("/{name}")
def get(name: str, _: Viewer) -> ConnectorTold:
    """One connector."""
    try:
        return _told(registry.get(name))
    except ConfigError as error:
        raise not_found("connector", name) from error


def _told(connector: Connector) -> ConnectorTold:
    harmless = harmless_keys(connector.config)
    return ConnectorTold(
        name=connector.name,
        title=connector.title,
        roles=list(connector.roles),
        collection=connector.collection,
        config_schema=connector.config.model_json_schema(),
        secret_fields=sorted(set(connector.config.model_fields) - harmless),
    )
