"""Who watches which execution, and word to them of every step: one connection for all.

::

    NOTIFY ──▶ listen ──▶ changed ──▶ tell: one query for all that changed ──▶ watchers

Laws:

* However many watch, one connection listens, and one query at a time reads.
* A watcher that is slow gets the newest, not all that has been.
* A notice that was lost costs seconds: all that is watched is read again now and then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from sync_pipelines.catalog.listening import Key, Stand

GATHER_SECONDS = 0.1
"""Notices of so long are answered together."""

AGAIN_SECONDS = 15.0

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0

MOST, MOST_OF_A_TENANT = 2_000, 500
"""Watchers of one gateway."""

log = structlog.get_logger()


class Watcher:
    """Waits for where an execution stands next; for one reader."""

    def __init__(self) -> None:
        self._newest: Stand | None = None
        self._news = asyncio.Event()
        self.is_gone = False
        self.is_dismissed = False

    def hear(self, stand: Stand | None) -> None:
        """Take what is newest; None: the execution is not there any more."""
        self._newest, self.is_gone = stand, stand is None
        self._news.set()

    def dismiss(self) -> None:
        """Wait no longer."""
        self.is_dismissed = True
        self._news.set()

    async def next(self, seconds: float) -> Stand | None:
        """What is new, None where nothing is within some time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()
        newest, self._newest = self._newest, None
        return newest


class Hub:
    """``listen`` opens the connection; ``read`` asks the catalog, in a thread."""

    def __init__(
        self,
        listen: Callable[[], AbstractAsyncContextManager[AsyncIterator[Key | None]]],
        read: Callable[[Collection[Key]], Mapping[Key, Stand]],
    ) -> None:
        self._listen = listen
        self._read = read
        self._watchers: dict[Key, set[Watcher]] = {}
        self._changed: set[Key] = set()
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._is_over = False

    def has_room(self, tenant_id: UUID) -> bool:
        """Whether one more of a tenant may watch."""
        numbers = {key: len(watchers) for key, watchers in self._watchers.items()}
        own = sum(number for key, number in numbers.items() if key[0] == tenant_id)
        return own < MOST_OF_A_TENANT and sum(numbers.values()) < MOST

    @contextmanager
    def watching(self, key: Key) -> Iterator[Watcher]:
        """Hear of an execution; first, soon, where it stands now."""
        watcher = Watcher()
        if self._is_over:
            watcher.dismiss()
        self._watchers.setdefault(key, set()).add(watcher)
        self._wanted.set()
        self._note([key])
        try:
            yield watcher
        finally:
            self._watchers[key].discard(watcher)
            if not self._watchers[key]:
                del self._watchers[key]

    def dismiss(self) -> None:
        """Let nobody wait any more, and whoever comes yet not begin to."""
        self._is_over = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.dismiss()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The work beside the watchers. Nobody listens before the first one comes."""
        tasks = [asyncio.create_task(work()) for work in (self._hear, self._tell, self._again)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _note(self, keys: Collection[Key]) -> None:
        self._changed.update(keys)
        self._news.set()

    async def _hear(self) -> None:
        await self._wanted.wait()
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                async with self._listen() as notices:
                    self._note(self._watchers.keys())  # what was said meanwhile went unheard
                    async for key in notices:
                        wait = FIRST_WAIT_SECONDS
                        if key in self._watchers:
                            self._note([key])
            except (psycopg.OperationalError, TimeoutError, OSError) as error:
                log.warning("progress.unheard", error=type(error).__name__, wait_seconds=wait)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    async def _again(self) -> None:
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            self._note(self._watchers.keys())

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._news.clear()
            changed, self._changed = self._changed & self._watchers.keys(), set()
            if not changed:
                continue
            try:
                stands = await asyncio.to_thread(self._read, changed)
            except SQLAlchemyError as error:
                log.warning("progress.unread", number=len(changed), error=type(error).__name__)
                continue  # they are read again by and by
            for key in changed:
                for watcher in self._watchers.get(key, ()):
                    watcher.hear(stands.get(key))
