"""Which connectors there are. Their code is imported when one is first asked for.

A third party adds a connector by an entry point in the group
``sync_pipelines.connectors`` whose value is a `Connector`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from connectors.contract import Destination, Source
from connectors.errors import ConfigError, ContractError
from connectors.reach import Reach, reach_of_urls

if TYPE_CHECKING:
    from connectors.http.oauth import App

ENTRY_POINT_GROUP = "sync_pipelines.connectors"

BUILT_IN = {
    "database": "connectors.sql.connector:CONNECTOR",
    "files": "connectors.files.connector:CONNECTOR",
    "mongodb": "connectors.mongodb.connector:CONNECTOR",
    "quickbooks": "connectors.providers.quickbooks.connector:CONNECTOR",
    "rest_api": "connectors.rest.connector:CONNECTOR",
    "stripe": "connectors.providers.stripe:CONNECTOR",
    "supabase": "connectors.providers.supabase:CONNECTOR",
    "woocommerce": "connectors.providers.woocommerce:CONNECTOR",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """The code for one kind of external system.

    ``config`` validates a connection's configuration; its ``SecretStr`` fields are
    what the catalog encrypts. A role that the system cannot play is None.
    ``collection`` is what its streams are called together: tables, calendars.

    ``most_at_once`` says how many executions the system behind a configuration bears at
    a time; None is no limit. ``place`` names that system without any credential: two
    configurations of the same name lead to the same place. ``reach`` says which hosts and
    local files one leads to; where it is None, that is every URL within. All three take a
    valid configuration, and open nothing.

    ``oauth`` is how a connection is authorized by the person who owns the account: an
    `connectors.http.oauth.App`, or None where this configuration needs no person.
    """

    name: str
    title: str
    config: type[BaseModel]
    source: Callable[[Any], Source] | None = None
    destination: Callable[[Any], Destination] | None = None
    collection: str = "streams"
    most_at_once: Callable[[Any], int | None] | None = None
    place: Callable[[Any], str] | None = None
    oauth: Callable[[Any], "App | None"] | None = None
    reach: Callable[[Any], Reach] | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """``source``, ``destination``, or both."""
        named = (("source", self.source), ("destination", self.destination))
        return tuple(role for role, factory in named if factory is not None)

    def parse(self, config: Mapping[str, object]) -> BaseModel:
        """Validate a configuration; `ConfigError` names the first wrong field."""
        try:
            return self.config.model_validate(dict(config))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "config"
            known = ", ".join(self.config.model_fields)
            hint = f"; {self.name} takes: {known}" if first["type"] == "extra_forbidden" else ""
            raise ConfigError(f"{where}: {first['msg']}{hint}") from None

    def reached(self, config: Mapping[str, object]) -> Reach:
        """Where a configuration leads; `ConfigError` if it is not valid."""
        parsed = self.parse(config)
        return self.reach(parsed) if self.reach else reach_of_urls(parsed)

    def open_source(self, config: Mapping[str, object]) -> Source:
        """A source on this configuration."""
        if self.source is None:
            raise ConfigError(f"connector {self.name!r} cannot be a source, only a destination")
        return self.source(self.parse(config))

    def open_destination(self, config: Mapping[str, object]) -> Destination:
        """A destination on this configuration."""
        if self.destination is None:
            raise ConfigError(f"connector {self.name!r} cannot be a destination, only a source")
        return self.destination(self.parse(config))


@cache
def _entry_points() -> Mapping[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def names() -> tuple[str, ...]:
    """Every known connector's name, in alphabetical order; imports none of them."""
    return tuple(sorted({*BUILT_IN, *_entry_points()}))


@cache
def get(name: str) -> Connector:
    """The connector of that name; `ConfigError` with the nearest names if there is none."""
    path = BUILT_IN.get(name) or _entry_points().get(name)
    if path is None:
        near = get_close_matches(name, names(), n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names())}"
        raise ConfigError(f"unknown connector {name!r}; {meant}")
    module, _, attribute = path.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, Connector) or found.name != name:
        raise ContractError(f"{path} is not the connector {name!r}")
    return found
