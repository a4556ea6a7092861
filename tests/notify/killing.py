"""Parts that run as processes, and are killed at random and started anew."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from random import Random
from typing import Protocol

from tests.notify.conftest import Told


class Part(Protocol):
    """A process, as far as it is killed."""

    def kill(self) -> None: ...

    def join(self) -> None: ...


Start = Callable[[], Part]


@dataclass
class Installation:
    """Parts that run, by name, and how each is started anew.

    ``are_spared`` says which of those that run must not be killed now.
    """

    are_spared: Callable[[dict[str, Part]], set[str]] = lambda running: set()
    starts: dict[str, Start] = field(default_factory=dict)
    running: dict[str, Part] = field(default_factory=dict)
    kills: int = 0

    def start(self, name: str) -> None:
        self.running[name] = self.starts[name]()

    def add(self, starts: Mapping[str, Start]) -> None:
        """Start more of them."""
        self.starts.update(starts)
        for name in starts:
            self.start(name)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.join()

    def kill_one(self, rng: Random) -> None:
        name = rng.choice(sorted(self.running.keys() - self.are_spared(self.running)))
        self.kill(name)
        self.kills += 1
        self.start(name)

    def kill_at_random(self, rng: Random, *, seconds: float, every: tuple[float, float]) -> None:
        """Kill one after the other."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, rng.uniform(*every)))  # the plan itself: nothing is waited for
            self.kill_one(rng)

    def stop(self, prefix: str = "") -> None:
        for name in [name for name in self.running if name.startswith(prefix)]:
            self.kill(name)

    def __enter__(self) -> "Installation":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def begun(made: Callable[[], BaseProcess]) -> BaseProcess:
    process = made()
    process.start()
    return process


def in_a_process(told: Told, work: Callable[[], object]) -> int:
    """Do it in a process of its own; by which signal that ended, or 0."""
    told.catalog.engine.dispose()
    child = os.fork()
    if child == 0:
        told.catalog.engine.dispose(close=False)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
