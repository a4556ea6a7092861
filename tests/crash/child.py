"""The process that gets killed: a warm parent forks one child for every attempt.

Each line on stdin is an `Order`; each line on stdout is what happened to it. The
child is real in everything but its size: small pages, a checkpoint after each of
them, and a counter of steps at one of which it may kill itself.

Law: a step is any entry into or return from a function of the engine or a
connector, and any call they make: between two steps lies at most one statement.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch
from uuid import UUID

from connectors.contract import (
    Batch,
    Committed,
    Destination,
    Encoding,
    Greatest,
    Selection,
    Source,
    State,
    Target,
    Writer,
)
from connectors.sql import source
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.engine import move, run
from sync_pipelines.engine.outcome import StreamResult
from sync_pipelines.engine.plan import StreamPlan

WARM = (
    "adbc_driver_postgresql.dbapi",
    "connectors.sql.connector",
    "connectors.sql.destination",
    *(
        f"connectors.sql.{dialect}.{side}"
        for dialect in ("postgres", "sqlite", "duckdb")
        for side in ("reader", "writer")
    ),
)
"""What the children find imported."""

ROOT = Path(__file__).parents[2]
OURS = tuple(str(ROOT / room) for room in ("connectors", "sync_pipelines/engine"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One attempt, and where it ends.

    ``die_at`` counts steps from 1, within commits only if ``in_commit``; 0 lives.
    ``mutant`` commits the state before the data.
    """

    catalog: str
    key: str
    execution: str
    attempt: int
    encoding: Encoding
    batch_rows: int
    die_at: int = 0
    in_commit: bool = False
    mutant: bool = False

    def line(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> "Order":
        values = json.loads(line)
        return cls(**{**values, "encoding": Encoding(values["encoding"])})


class Steps:
    """Counts what the engine and the connectors do, and ends it all at the right moment."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.total = self.commit = 0
        self.committing = False
        self._ours: dict[CodeType, bool] = {}

    def watch(self) -> None:
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def rest(self) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, arg: Any) -> None:
        caller = frame.f_back
        is_ours = self._is_ours(frame.f_code)
        if event in ("call", "return") and not is_ours and caller is not None:
            is_ours = self._is_ours(caller.f_code)
        if is_ours:
            self._step()

    def _is_ours(self, code: CodeType) -> bool:
        found = self._ours.get(code)
        if found is None:
            found = self._ours[code] = code.co_filename.startswith(OURS)
        return found

    def _step(self) -> None:
        self.total += 1
        self.commit += self.committing
        counted = self.commit if self.order.in_commit else self.total
        if self.order.die_at and counted == self.order.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class SmallPages:
    """A source that is read in small pages."""

    whole: Source
    batch_rows: int

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        return self.whole.encodings(selection)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        return self.whole.read(replace(selection, batch_rows=self.batch_rows), state, encoding)


@dataclass(frozen=True, slots=True)
class Watched:
    """A destination that takes one encoding only, and says when it commits."""

    destination: Destination
    order: Order
    steps: Steps

    def encodings(self, target: Target) -> Sequence[Encoding]:
        assert self.order.encoding in self.destination.encodings(target), "not accepted"
        return (self.order.encoding,)

    def open(self, target: Target, encoding: Encoding) -> "WatchedWriter":
        if self.order.mutant:
            writer: Writer = StateFirst(self.destination, target, encoding)
        else:
            writer = self.destination.open(target, encoding)
        return WatchedWriter(writer, self.steps)


@dataclass(frozen=True, slots=True)
class WatchedWriter:
    """Passes everything on."""

    writer: Writer
    steps: Steps

    @property
    def committed(self) -> Committed:
        return self.writer.committed

    def write(self, batch: Batch) -> None:
        self.writer.write(batch)

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        tell("commit")
        self.steps.committing = True
        done = self.writer.commit(state, finished=finished)
        self.steps.committing = False
        return done

    def close(self) -> None:
        self.writer.close()


class StateFirst:
    """The mutant: makes the state durable, and only then the data it speaks of."""

    def __init__(self, destination: Destination, target: Target, encoding: Encoding) -> None:
        self._open = lambda: closing(destination.open(target, encoding))
        self._batches: list[Batch] = []
        with self._open() as writer:
            self._committed = writer.committed

    @property
    def committed(self) -> Committed:
        return self._committed

    def write(self, batch: Batch) -> None:
        self._batches.append(batch)

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        with self._open() as ahead:
            ahead.commit(state)
        with self._open() as behind:
            for batch in self._batches:
                behind.write(batch)
            self._committed = behind.commit(None, finished=finished)
        self._batches = []
        return self._committed

    def close(self) -> None:
        self._batches = []


_told = 1


def tell(*words: object) -> None:
    """One line to the parent, in one piece whoever else is writing."""
    os.write(_told, (" ".join(map(str, words)) + "\n").encode())


def attempt(order: Order) -> None:
    """Run the attempt as a run process does; tells how it ended, and after how many steps."""
    tell("pid", os.getpid())
    steps = Steps(order)

    def moved(
        offered: Source, destination: Destination, plan: StreamPlan, *rest: Any
    ) -> StreamResult:
        small = SmallPages(offered, order.batch_rows)
        watched = Watched(destination, order, steps)
        return move.move_stream(small, watched, plan, *rest)  # type: ignore[arg-type]

    catalog = open_catalog(order.catalog, SecretBox((order.key,)))
    engine = run.Engine(catalog=catalog, rng=Random(0))
    with patch.object(run, "move_stream", moved), patch.object(move, "CHECKPOINT_ROWS", 1):
        steps.watch()
        report = engine.run(UUID(order.execution), attempt=order.attempt, run_id=None)
        steps.rest()
    catalog.close()
    failure = report.outcome.failure
    why = "" if failure is None else json.dumps(f"{failure.error_class}: {failure.message}")
    tell("outcome", report.outcome.status, why)
    tell("steps", steps.total, steps.commit)


def main() -> None:
    """Fork a child for every order, one after the other, until stdin ends."""
    global _told
    # Whatever prints must not be taken for a word of ours.
    _told = os.dup(1)
    os.dup2(2, 1)
    for module in WARM:
        import_module(module)
    source.RANGE_BATCHES = 1
    warm, pid = False, 0
    tell("ready")
    for line in sys.stdin:
        order = Order.read(line)
        if not warm:
            # What opening a catalog imports, the children find imported; it is closed again.
            open_catalog(order.catalog, SecretBox((order.key,))).close()
            warm = True
        if pid:
            os.waitpid(pid, 0)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                attempt(order)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        # The child stays unburied until the next order, so that nobody else gets its number
        # while somebody outside may still be about to kill it.
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        killed = ended.si_code == os.CLD_KILLED and ended.si_status == signal.SIGKILL
        tell("end", "killed" if killed else ended.si_status)
    if pid:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
