"""What a run costs by itself: time, connections, statements, bytes, memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread
from time import perf_counter

import psutil
import psycopg
from psycopg import sql

from benchmarks.counting import counted
from benchmarks.running import Runs, running
from benchmarks.task import Measure, Task, Work, peak_mb
from sync_pipelines.runtime.storage import SCHEMA

AT_ONCE = (2, 4, 8)
WARMING = 2
LOOK_SECONDS = 0.004

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
_BYTES = "SELECT coalesce(sum(pg_column_size(t.*)), 0)::bigint FROM {} t"


def launched(task: Task) -> Measure:
    """Do the work of a task that launches runs."""
    if task.work is Work.QUEUE:
        from benchmarks.queueing import queued

        return queued(task)
    if task.work is Work.RUSH:
        from benchmarks.rushing import rushed

        return rushed(task)
    started = perf_counter()
    figures = {**_times(_apart(task, "timed")), **_costs(_apart(task, "counted"))}
    return Measure(
        seconds=perf_counter() - started, cpu_seconds=0.0, peak_mb=peak_mb(), figures=figures
    )


def _apart(task: Task, name: str) -> Task:
    """The same in a home of its own."""
    return replace(task, destination=str(Path(task.destination) / name))


def _times(task: Task) -> Mapping[str, float]:
    with running(task) as runs:
        for _ in range(WARMING):
            runs.one()
        taken = [_seconds(runs.one) for _ in range(task.times)]
        rates = {
            f"runs a minute, {at_once} at once": _per_minute(runs, task.due, at_once=at_once)
            for at_once in AT_ONCE
        }
    return {
        "launch to finish, median s": median(taken),
        "launch to finish, p95 s": quantiles(taken, n=20)[-1],
        **rates,
    }


def _seconds(work: Callable[[], int]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def _per_minute(runs: Runs, number: int, *, at_once: int) -> float:
    started = perf_counter()
    runs.many(number, at_once=at_once)
    return number / (perf_counter() - started) * 60


def _costs(task: Task) -> Mapping[str, float]:
    """Counted in runs of their own: who counts takes time."""
    Path(task.destination).mkdir(parents=True)
    socket = Path(task.destination) / "pg"
    socket.mkdir()
    with (
        counted(task.catalog, socket) as (url, counter),
        running(task, runs_url=url) as runs,
    ):
        for _ in range(WARMING):
            runs.one()
        before = (counter.connections, counter.statements, _stored(task.catalog))
        with _watching(runs.parent) as seen:
            for _ in range(task.times):
                runs.one()
        after = (counter.connections, counter.statements, _stored(task.catalog))
    connections, statements, stored = (
        (late - early) / task.times for early, late in zip(before, after, strict=True)
    )
    return {
        "connections a run": connections,
        "statements a run": statements,
        "kB stored a run": stored / 1000,
        "memory of its own, MB": seen.own,
        "memory with its share of what is shared, MB": seen.share,
    }


def _stored(url: str) -> int:
    """Bytes of all rows of Dagster's tables, without indexes."""
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(_TABLES, [SCHEMA])]
        found = 0
        for name in names:
            row = connection.execute(
                sql.SQL(_BYTES).format(sql.Identifier(SCHEMA, name))
            ).fetchone()
            found += int(row[0]) if row else 0
    return found


class Seen:
    """The most memory that a run was seen to hold, with its helpers, in MB."""

    def __init__(self) -> None:
        self.own = 0.0
        self.share = 0.0

    def look(self, parent: psutil.Process) -> None:
        """Look at every child, each with all that it has started."""
        for child in parent.children():
            try:
                family = [child, *child.children(recursive=True)]
            except psutil.NoSuchProcess:
                continue
            own, share = zip(*(_memory(one.pid) for one in family), strict=True)
            self.own = max(self.own, sum(own))
            self.share = max(self.share, sum(share))


def _memory(pid: int) -> tuple[float, float]:
    """Unique and proportional memory in MB, as the kernel sums it (proc_pid_smaps(5))."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    sizes = {line.split()[0]: int(line.split()[1]) for line in lines}
    own = sizes.get("Private_Clean:", 0) + sizes.get("Private_Dirty:", 0)
    return own / 1024, sizes.get("Pss:", 0) / 1024


@contextmanager
def _watching(parent: int) -> Iterator[Seen]:
    seen, done = Seen(), Event()
    process = psutil.Process(parent)

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            seen.look(process)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
