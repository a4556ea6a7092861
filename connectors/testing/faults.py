"""Scripted faults: what a system in memory does at a given moment besides its work.

Law: a fault changes when something happens or that it fails, never what is stored.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import NoReturn

PATIENCE_SECONDS = 30.0
"""How long a paused system waits to be let go before it calls the test broken."""


class Point(StrEnum):
    """The moments at which a script may act.

    ``read`` is right before a batch is handed over, ``write`` before one is staged,
    ``before_commit`` when nothing is durable yet, ``after_commit`` when all of it is
    but nobody has been told.
    """

    READ = "read"
    WRITE = "write"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"


@dataclass(slots=True)
class Script:
    """Actions by the moment at which they happen; each moment is counted from 1."""

    _actions: dict[tuple[Point, int], Callable[[], object]] = field(default_factory=dict)
    _reached: dict[Point, int] = field(default_factory=dict)

    def at(self, point: Point, nth: int, action: Callable[[], object]) -> "Script":
        """Do ``action`` when ``point`` is reached for the n-th time; itself, to go on from."""
        self._actions[point, nth] = action
        return self

    def reach(self, point: Point) -> None:
        """Called by the system at each moment; raises what the action raises."""
        nth = self.reached(point) + 1
        self._reached[point] = nth
        action = self._actions.get((point, nth))
        if action is not None:
            action()

    def reached(self, point: Point) -> int:
        """How often ``point`` has been reached."""
        return self._reached.get(point, 0)


def failing(error: BaseException) -> Callable[[], NoReturn]:
    """An action that raises ``error``."""

    def fail() -> NoReturn:
        raise error

    return fail


@dataclass(frozen=True, slots=True)
class Pause:
    """An action that waits: ``reached`` is set when it begins, setting ``go_on`` ends it."""

    reached: Event = field(default_factory=Event)
    go_on: Event = field(default_factory=Event)

    def __call__(self) -> None:
        """Wait; `TimeoutError` when nobody ends it."""
        self.reached.set()
        if not self.go_on.wait(PATIENCE_SECONDS):
            raise TimeoutError(f"paused for {PATIENCE_SECONDS:.0f} seconds and never let go")
