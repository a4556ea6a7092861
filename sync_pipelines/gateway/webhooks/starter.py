"""Turns stored events into executions at once, and hands these to Dagster, in the background.

Nothing depends on it: what it does not come to, the dispatcher's sensor does in seconds.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

log = structlog.get_logger()

AT_ONCE = 500
"""Events that are taken up together."""

LONGEST_REST_SECONDS = 0.25
"""After a turn the taker rests for as long as that took, but no longer: so in a flood it
leaves the processor to the intake, and finds more of what is alike at its next turn."""

MOST_WAITING = 20_000
"""So many are remembered; beyond that they are the sensor's."""

LAUNCHES = 4
"""Hand-overs to Dagster that may go on at a time."""


class Starter:
    """``take_up`` decides on events and gives the executions that wait for a run;
    ``launch`` hands one over. Both are called in threads.
    """

    def __init__(
        self,
        take_up: Callable[[Sequence[UUID]], Sequence[UUID]],
        *,
        launch: Callable[[UUID], bool],
    ) -> None:
        self._take_up = take_up
        self._launch = launch
        self._waiting: deque[UUID] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self._taking = ThreadPoolExecutor(1, thread_name_prefix="webhooks")
        self._launches = ThreadPoolExecutor(LAUNCHES, thread_name_prefix="launches")
        self._launching: dict[UUID, asyncio.Future[None]] = {}

    def start(self, event_ids: Sequence[UUID]) -> None:
        """Take up these events as soon as may be."""
        self._waiting.extend(event_ids)
        self._news.set()

    async def run(self) -> None:
        """Take up what comes, until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting:
                    began = loop.time()
                    number = min(AT_ONCE, len(self._waiting))
                    some = [self._waiting.popleft() for _ in range(number)]
                    for execution_id in await loop.run_in_executor(
                        self._taking, self._taken_up, some
                    ):
                        self._hand_over(loop, execution_id)
                    await asyncio.sleep(min(loop.time() - began, LONGEST_REST_SECONDS))
        finally:
            # What has begun ends; what has not is the sensor's.
            for threads in (self._taking, self._launches):
                await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, execution_id: UUID) -> None:
        if execution_id not in self._launching:
            started = loop.run_in_executor(self._launches, self._launched, execution_id)
            self._launching[execution_id] = started
            started.add_done_callback(lambda _: self._launching.pop(execution_id, None))

    def _taken_up(self, event_ids: Sequence[UUID]) -> Sequence[UUID]:
        try:
            return self._take_up(event_ids)
        except SQLAlchemyError as error:
            log.warning("webhooks.not_taken_up", number=len(event_ids), error=str(error))
            return []

    def _launched(self, execution_id: UUID) -> None:
        try:
            self._launch(execution_id)
        except SQLAlchemyError as error:
            log.warning("webhooks.not_launched", execution=str(execution_id), error=str(error))
