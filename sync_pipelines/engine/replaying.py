"""Stored webhooks again: as events, or by running the syncs they concern into a shadow dataset.

Laws:

* The same stored range gives the same events in the same order, whenever it is replayed;
  each replay's events are its own, so that none is taken for a repetition.
* A shadow is a dataset of its own: no sync of the tenant writes there, and what the
  catalog shows of the real one stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection as Db

from connectors.errors import ConfigError
from connectors.webhooks.contract import MalformedError
from connectors.webhooks.schemes import scheme_of
from sync_pipelines.catalog import audit, deliveries, events, listeners
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync, list_syncs
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.hearing import hearing_of
from sync_pipelines.engine.intake import events_again
from sync_pipelines.model.endpoint import Endpoint
from sync_pipelines.model.event import Event
from sync_pipelines.model.execution import Request, Trigger
from sync_pipelines.model.sync import Sync

AT_ONCE = 500

TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay came to. ``unreadable`` deliveries no longer say what changed."""

    deliveries: int = 0
    events: int = 0
    unreadable: int = 0
    executions: tuple[UUID, ...] = ()


def replay(
    catalog: Catalog,
    endpoint: Endpoint,
    *,
    since: datetime,
    until: datetime,
    actor: str,
    now: datetime,
) -> Replayed:
    """Take in again what came from ``since`` to before ``until``, as events of today."""
    mark = uuid4().hex[:12]
    again, counted = _again(catalog, endpoint, since=since, until=until)
    fresh = [
        replace(event, event_id=f"{event.event_id}~{mark}", received_at=now + place * TICK)
        for place, event in enumerate(again)
    ]
    with catalog.begin() as db:
        for start in range(0, len(fresh), AT_ONCE):
            events.accept_all_for_all_tenants(db, fresh[start : start + AT_ONCE])
        _audit(db, endpoint, actor, now, {**_range(since, until), "replay": mark})
    return counted


def replay_into(
    catalog: Catalog,
    endpoint: Endpoint,
    dataset: str,
    *,
    since: datetime,
    until: datetime,
    actor: str,
    now: datetime,
) -> Replayed:
    """Run every sync that the stored range concerns into a dataset beside its own.

    `ConfigError` when that is a dataset that a sync of the tenant writes to.
    """
    if not dataset:
        raise ConfigError("a shadow's dataset needs a name, for example shadow")
    again, counted = _again(catalog, endpoint, since=since, until=until)
    syncs = _concerned(catalog, endpoint, again)
    with catalog.begin() as db:
        all_syncs = list_syncs(db, catalog.secrets, endpoint.tenant)
    for sync in syncs:
        for other in all_syncs:
            if (other.destination.id, other.dataset) == (sync.destination.id, dataset):
                raise ConfigError(
                    f"dataset {dataset!r} is where {other.key} writes; a shadow needs its own"
                )
    request = Request(into=dataset)
    made = tuple(
        trigger(catalog, sync, now=now, reason=Trigger.BACKFILL, request=request) for sync in syncs
    )
    with catalog.begin() as db:
        _audit(db, endpoint, actor, now, {**_range(since, until), "into": dataset})
    return replace(counted, executions=made)


def _again(
    catalog: Catalog, endpoint: Endpoint, *, since: datetime, until: datetime
) -> tuple[list[Event], Replayed]:
    if since >= until:
        raise ConfigError(f"there is nothing between {since} and {until}; since comes first")
    scheme = scheme_of(endpoint.scheme, endpoint.config)
    again: list[Event] = []
    number, unreadable = 0, 0
    for held in deliveries.between(catalog, endpoint, since=since, until=until):
        number += 1
        try:
            again += events_again(endpoint, scheme, held)
        except MalformedError:
            unreadable += 1
    return again, Replayed(deliveries=number, events=len(again), unreadable=unreadable)


def _concerned(catalog: Catalog, endpoint: Endpoint, told: Sequence[Event]) -> list[Sync]:
    """The syncs whose schedules hear one of the events, by name."""
    with catalog.begin() as db:
        listening = listeners.to_events(db, tenant_id=endpoint.tenant_id)
        keys = {one.sync_key for event in told for one in hearing_of(listening, event)}
        return [find_sync(db, catalog.secrets, key) for key in sorted(keys)]


def _range(since: datetime, until: datetime) -> dict[str, str]:
    return {"since": since.isoformat(), "until": until.isoformat()}


def _audit(db: Db, endpoint: Endpoint, actor: str, now: datetime, after: dict[str, str]) -> None:
    audit.record(
        db,
        at=now,
        actor=actor,
        action="webhook.replayed",
        subject=f"{endpoint.tenant}/{endpoint.name}",
        tenant_id=endpoint.tenant_id,
        after=after,
    )
