"""One gateway's intake of webhooks: from a request to its answer, and all that goes on beside."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from connectors.errors import ConfigError
from connectors.webhooks.contract import Received, Verdict
from connectors.webhooks.schemes import scheme_of
from sync_pipelines.catalog import deliveries, endpoints
from sync_pipelines.catalog.deliveries import Delivery
from sync_pipelines.engine.events import take_up
from sync_pipelines.engine.intake import judge
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.webhooks.known import Endpoints, Known
from sync_pipelines.gateway.webhooks.starter import Starter
from sync_pipelines.gateway.webhooks.tallies import Tallies
from sync_pipelines.gateway.webhooks.writer import BusyError, UnstorableError, Writer
from sync_pipelines.model.endpoint import Health

log = structlog.get_logger()

ANSWER_SECONDS = 2.5
"""QuickBooks and Microsoft Graph give up after three."""

COUNT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a sender hears."""

    status: HTTPStatus
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


TAKEN = Answer(status=HTTPStatus.OK)
NO_SUCH = Answer(status=HTTPStatus.NOT_FOUND)
REFUSED = Answer(status=HTTPStatus.UNAUTHORIZED)
UNREADABLE = Answer(status=HTTPStatus.BAD_REQUEST)
LATER = Answer(status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": "5"})


class Intake:
    """Takes requests in while `running`."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._endpoints = Endpoints(self._find)
        self._tallies = Tallies()
        self._starter = Starter(self._take_up, launch=doors.launch)
        self._writer = Writer(self._store, stored=self._starter.start)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The work beside the requests; at the end, what was answered has been counted."""
        writing = asyncio.create_task(self._writer.run())
        beside = [asyncio.create_task(self._starter.run()), asyncio.create_task(self._count())]
        try:
            yield
        finally:
            await self._writer.stop()
            await writing
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await self._add_tallies()

    async def take(self, key: str, request: Received) -> Answer:
        """The answer to a request at the URL of a key."""
        try:
            known = await self._endpoints.of(key)
        except (SQLAlchemyError, ConfigError) as error:
            log.error("webhooks.endpoint_unknown", error=str(error))
            return LATER
        if known is None:
            return NO_SUCH
        hello = known.scheme.greet(request)
        if hello is not None:
            return Answer(status=HTTPStatus.OK, body=hello.body, headers=hello.headers)
        if request.method != "POST":
            return Answer(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "POST"})
        return await self._judged(known, request)

    async def _judged(self, known: Known, request: Received) -> Answer:
        endpoint = known.endpoint
        found = judge(endpoint, known.scheme, request)
        if isinstance(found, Verdict):
            return self._refused(endpoint.id, request, found)
        if not endpoint.is_on:  # said yes to, so that the provider does not give the URL up
            return TAKEN
        try:
            # The transaction goes on when nobody waits any more: what is sent again is known.
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._writer.write(found)
        except (BusyError, TimeoutError):
            return LATER
        except UnstorableError:
            return self._refused(endpoint.id, request, Verdict.MALFORMED)
        self._tallies.received(endpoint.id, request.at)
        return TAKEN

    def _refused(self, endpoint_id: UUID, request: Received, why: Verdict) -> Answer:
        self._tallies.refused(endpoint_id, request.at, why)
        return UNREADABLE if why is Verdict.MALFORMED else REFUSED

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await self._add_tallies()

    async def _add_tallies(self) -> None:
        taken = self._tallies.take()
        if not taken:
            return
        log.info(
            "webhooks.came",
            endpoints=len(taken),
            received=sum(one.received for one in taken.values()),
            refused=sum(one.refused for one in taken.values()),
        )
        try:
            await asyncio.to_thread(self._add, taken)
        except SQLAlchemyError as error:
            log.warning("webhooks.not_counted", endpoints=len(taken), error=str(error))

    # --- in threads ---------------------------------------------------------------------

    def _find(self, key: str) -> Known | None:
        catalog = self._doors.catalog
        with catalog.begin() as db:
            found = endpoints.find_by_key_for_all_tenants(db, catalog.secrets, key)
        return None if found is None else Known(found, scheme_of(found.scheme, found.config))

    def _store(self, batch: Sequence[Delivery]) -> Sequence[UUID]:
        with self._doors.catalog.begin() as db:
            return deliveries.store_for_all_tenants(db, batch)

    def _take_up(self, event_ids: Sequence[UUID]) -> Sequence[UUID]:
        return take_up(self._doors.catalog, event_ids, self._doors.clock())

    def _add(self, taken: Mapping[UUID, Health]) -> None:
        with self._doors.catalog.begin() as db:
            endpoints.add_tallies_for_all_tenants(db, taken)
