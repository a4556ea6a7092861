"""Starts the embedded PostgreSQL again when it dies while `up` runs.

Law: a server that keeps dying ends `up` with the last lines of its log; one that died
once in a while does not.
"""

from collections.abc import Callable
from time import monotonic

from sync_pipelines.runtime.errors import PostgresError
from sync_pipelines.runtime.postgres import Server
from sync_pipelines.runtime.processes import (
    LONGEST_PAUSE_SECONDS,
    MOST_RESTARTS,
    STEADY_SECONDS,
    Say,
)


class Keeper:
    """Looks after one server; whoever keeps it is one of its users.

    ``seconds`` is a clock that only runs forward.
    """

    def __init__(self, server: Server, say: Say, *, seconds: Callable[[], float] = monotonic):
        self._server = server
        self._say = say
        self._seconds = seconds
        self._failures = 0
        self._died_at = 0.0
        self._due_at = 0.0

    def tend(self) -> None:
        """Start the server if it died, and say so. `PostgresError` if that is of no use."""
        began = self._seconds()
        if self._server.is_alive() or began < self._due_at:
            return
        steady = began - self._died_at >= STEADY_SECONDS
        self._failures = 1 if steady else self._failures + 1
        self._died_at = began
        if self._failures > MOST_RESTARTS:
            log = self._server.place.log
            raise PostgresError(f"PostgreSQL died {self._failures} times in a row; see {log}")
        self._revive(began)

    def _revive(self, began: float) -> None:
        try:
            self._server.revive()
        except PostgresError as error:
            if self._failures == MOST_RESTARTS:
                raise
            pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (self._failures - 1))
            self._due_at = self._seconds() + pause
            self._say(
                f"PostgreSQL died; attempt {self._failures} of {MOST_RESTARTS} to start it again "
                f"failed, the next is in {pause:.0f} s: {error}"
            )
            return
        took = self._seconds() - began
        self._say(
            f"PostgreSQL died and was started again in {took:.1f} s; see {self._server.place.log}"
        )
