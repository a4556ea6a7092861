"""Looks for webhooks that providers have switched off, and switches them on again.

Laws:

* A provider is asked while no transaction is open: it may take its time.
* An endpoint whose provider cannot be asked holds up no other.
* What changed while nothing came was not told of: it is read at once, by an event of ours.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from connectors.errors import ConfigError, ConnectorError
from connectors.webhooks.revival import REVIVALS, SwitchedOff
from sync_pipelines.catalog import audit, endpoints, events, incidents
from sync_pipelines.catalog.incidents import Alarm, Kind
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_connection
from sync_pipelines.clock import Clock
from sync_pipelines.engine.surroundings import open_source
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.event import Event
from sync_pipelines.model.kinds import EventTrigger

log = structlog.get_logger()

ACTOR = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How many endpoints' providers were asked, and how many webhooks are on again."""

    asked: int = 0
    revived: int = 0


def is_wanted(catalog: Catalog) -> bool:
    """Whether there is an endpoint whose provider can be asked."""
    with catalog.begin() as db:
        return bool(endpoints.revivable_for_all_tenants(db, catalog.secrets, REVIVALS))


def revive_all(catalog: Catalog, *, clock: Clock, stop: Callable[[], bool]) -> Looked:
    """Ask every provider that can be asked, until ``stop``."""
    with catalog.begin() as db:
        found = endpoints.revivable_for_all_tenants(db, catalog.secrets, REVIVALS)
    asked = revived = 0
    for endpoint in found:
        if stop():
            break
        try:
            revived += len(revive(catalog, endpoint, now=clock(), actor=ACTOR))
            asked += 1
        except ConnectorError as error:
            log.warning("webhooks.not_revived", endpoint=endpoint.label, reason=str(error))
    return Looked(asked=asked, revived=revived)


def revive(
    catalog: Catalog, endpoint: Endpoint, *, now: datetime, actor: str
) -> Sequence[SwitchedOff]:
    """Switch on again what an endpoint's provider has switched off; those that were.

    Where the credentials do not allow it, that is an incident, and a `ConfigError`;
    `ConfigError` also where the provider has no API for it.
    """
    revival = REVIVALS.get(endpoint.scheme)
    if revival is None or endpoint.connection is None:
        raise ConfigError(
            f"endpoint {endpoint.label} of scheme {endpoint.scheme} cannot be looked after: that "
            f"takes a connection, and a scheme of: {', '.join(REVIVALS)}"
        )
    with catalog.begin() as db:
        key = f"{endpoint.tenant}/{endpoint.connection}"
        connection = find_connection(db, catalog.secrets, key)
    if connection.connector != endpoint.scheme:
        raise ConfigError(
            f"connection {key} is of connector {connection.connector!r}; its webhooks are looked "
            f"after where it is of {endpoint.scheme!r}"
        )
    with closing(open_source(catalog, connection)) as source:
        off = revival.off(source, f"/webhooks/{endpoint.key}")
        try:
            for one in off:
                revival.revive(source, one)
        except ConfigError as error:
            _cannot(catalog, endpoint, off, error, now)
            raise
    _note(catalog, endpoint, off, now=now, actor=actor)
    return off


def _note(
    catalog: Catalog, endpoint: Endpoint, off: Sequence[SwitchedOff], *, now: datetime, actor: str
) -> None:
    """What was off is on: say so, and let what was missed be read."""
    with catalog.begin() as db:
        incidents.resolve(db, Kind.DISABLED_WEBHOOK, endpoint.label, now=now)
        if not off:
            return
        topics = [one.topic for one in off]
        incidents.note_mended(db, [_alarm(endpoint, off, "it is on again")], now=now)
        audit.record(
            db,
            at=now,
            actor=actor,
            action="webhook.revived",
            subject=endpoint.label,
            tenant_id=endpoint.tenant_id,
            after={"topics": topics},
        )
        events.accept(db, _missed(endpoint, off, now))


def _missed(endpoint: Endpoint, off: Sequence[SwitchedOff], now: datetime) -> Event:
    """Says that anything may have changed."""
    return Event(
        id=uuid4(),
        tenant_id=endpoint.tenant_id,
        source=EventTrigger.WEBHOOK,
        platform=endpoint.platform,
        event_id=f"revived:{endpoint.name}:{now.isoformat()}",
        event_type="webhook.revived",
        payload={"topics": [one.topic for one in off]},
        received_at=now,
    )


def _cannot(
    catalog: Catalog,
    endpoint: Endpoint,
    off: Sequence[SwitchedOff],
    error: ConfigError,
    now: datetime,
) -> None:
    with catalog.begin() as db:
        alarm = _alarm(endpoint, off, f"it cannot be switched on: {error}")
        incidents.raise_incident(db, alarm, now=now)


def _alarm(endpoint: Endpoint, off: Sequence[SwitchedOff], outcome: str) -> Alarm:
    topics = ", ".join(one.topic for one in off)
    return Alarm(
        kind=Kind.DISABLED_WEBHOOK,
        subject=endpoint.label,
        tenant_id=endpoint.tenant_id,
        message=f"{endpoint.scheme} has switched off the webhook to {endpoint.label} ({topics}), "
        f"as it does after deliveries that failed; {outcome}",
        remedy="switch it on at the provider, or give the connection a key that may write; then "
        "look why deliveries failed: was the gateway, or a proxy before it, not to be reached?",
        details={"topics": [one.topic for one in off]},
    )
