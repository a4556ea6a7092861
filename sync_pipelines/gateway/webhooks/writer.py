"""Stores deliveries many at a time: each waits for the transaction that holds it.

While one transaction commits, the next batch gathers. So the more comes in, the larger
the batches, and the less each costs.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from sync_pipelines.catalog.deliveries import Delivery

log = structlog.get_logger()

AT_ONCE = 500
"""Deliveries of one transaction."""

BYTES_AT_ONCE = 8_000_000

MOST_WAITING = 5_000
"""So many may wait; who comes then is to come again."""


class BusyError(Exception):
    """It cannot be stored now: the catalog does not answer, or too much waits."""


class UnstorableError(Exception):
    """It can never be stored: its endpoint is gone, or PostgreSQL refuses what it holds."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Delivery
    done: asyncio.Future[None]


class Writer:
    """One event loop's writer; `run` it beside whoever calls `write`.

    ``store`` stores deliveries in one transaction, in a thread, and gives the ids of the
    events that are new; ``stored`` is told of these after the commit.
    """

    def __init__(
        self,
        store: Callable[[Sequence[Delivery]], Sequence[UUID]],
        *,
        stored: Callable[[Sequence[UUID]], None],
    ) -> None:
        self._store = store
        self._stored = stored
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(MOST_WAITING)

    async def write(self, delivery: Delivery) -> None:
        """Return when it is durable; `BusyError` or `UnstorableError` if it is not."""
        done = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(delivery, done))
        except asyncio.QueueFull as error:
            raise BusyError("too many deliveries wait") from error
        await done

    async def run(self) -> None:
        """Store what comes, until `stop`; what waits then is stored first."""
        while (first := await self._queue.get()) is not None:
            batch, size = [first], len(first.delivery.body)
            stopping = False
            while len(batch) < AT_ONCE and size < BYTES_AT_ONCE and not self._queue.empty():
                following = self._queue.get_nowait()
                if following is None:
                    stopping = True
                    break
                batch.append(following)
                size += len(following.delivery.body)
            await self._write(batch)
            if stopping:
                return

    async def stop(self) -> None:
        """Let `run` end when it has stored what waits."""
        await self._queue.put(None)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        try:
            new = await asyncio.to_thread(self._store, [one.delivery for one in batch])
        except SQLAlchemyError as error:
            if not _is_its_own_fault(error):
                log.error("webhooks.not_stored", number=len(batch), error=type(error).__name__)
                _fail(batch, BusyError("the catalog does not answer"))
            elif len(batch) == 1:
                _fail(batch, UnstorableError(type(error).__name__))
            else:  # one of them spoils it for all: find out which
                middle = len(batch) // 2
                await self._write(batch[:middle])
                await self._write(batch[middle:])
            return
        for one in batch:
            if not one.done.done():  # whoever waited may have gone
                one.done.set_result(None)
        if new:
            self._stored(new)


def _is_its_own_fault(error: SQLAlchemyError) -> bool:
    return isinstance(error, DataError | IntegrityError) or type(error) is StatementError


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for one in batch:
        if not one.done.done():
            one.done.set_exception(error)
