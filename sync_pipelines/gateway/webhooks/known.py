"""Endpoints by their keys, remembered for a moment, so that a flood asks the catalog little."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from connectors.webhooks.contract import Scheme
from sync_pipelines.model.endpoint import Endpoint

REMEMBERED_SECONDS = 2.0
"""After so long a change of an endpoint counts."""

MOST = 10_000

LOOKING_UP = 4
"""So many look-ups go on at a time: made-up keys must not take all of the catalog."""

KEY = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Known:
    """An endpoint with its scheme, ready to judge requests."""

    endpoint: Endpoint
    scheme: Scheme


class Endpoints:
    """``find`` asks the catalog for a key, in a thread; None where there is no such endpoint."""

    def __init__(
        self, find: Callable[[str], Known | None], *, seconds: Callable[[], float] = monotonic
    ) -> None:
        self._find = find
        self._seconds = seconds
        self._held: dict[str, tuple[float, Known | None]] = {}
        self._asked: dict[str, asyncio.Task[Known | None]] = {}
        self._looking_up = asyncio.Semaphore(LOOKING_UP)

    async def of(self, key: str) -> Known | None:
        """The endpoint of a key, as it was at most a moment ago."""
        if not KEY.fullmatch(key):
            return None
        until, known = self._held.get(key, (0.0, None))
        if self._seconds() < until:
            return known
        asked = self._asked.get(key)
        if asked is None:
            asked = asyncio.create_task(self._look_up(key))
            self._asked[key] = asked
            asked.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(asked)

    async def _look_up(self, key: str) -> Known | None:
        async with self._looking_up:
            known = await asyncio.to_thread(self._find, key)
        if len(self._held) >= MOST:
            self._held.clear()
        self._held[key] = (self._seconds() + REMEMBERED_SECONDS, known)
        return known
