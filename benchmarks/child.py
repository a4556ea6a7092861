"""One measured piece of work, in a process of its own that has imported what it needs.

That is how a run finds itself in the product: started from a warm process. The clock
runs from before the first connection is opened until after the last is closed.
"""

import logging
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from benchmarks.task import Measure, Task, Work, peak_mb
from sync_pipelines.logs import configure_logging

WARMING = 5
"""Repetitions before the first one that counts, of work that is repeated."""


def perform(task: Task) -> Measure:
    """Do the work, and measure it. Each kind imports only what it needs itself."""
    if task.work is Work.PSQL_TO_DUCKDB:
        from benchmarks.peers import read_as_csv

        return measured(lambda: read_as_csv(task))
    if task.work is Work.TURN:
        from benchmarks.dispatching import dispatching

        with dispatching(task) as turns:
            return measured(turns.take, times=task.times, before=turns.rewind)
    if task.work is Work.CROWD:
        from benchmarks.crowding import quiet_wait

        return replace(measured(lambda: 0), seconds=quiet_wait(task))
    if task.work is Work.LATENESS:
        from benchmarks.lateness import lateness

        late = lateness(task)
        return replace(measured(lambda: 0), seconds=max(late), processed=len(late), samples=late)
    if task.work in (Work.RUNS, Work.QUEUE, Work.RUSH):
        from benchmarks.launching import launched

        return launched(task)
    if task.work is Work.WEBHOOKS:
        from benchmarks.webhooks import posted

        return posted(task)
    if task.work is Work.FLOOD:
        from benchmarks.flood import flooded

        return flooded(task)
    if task.work is Work.PAGES:
        from benchmarks import moving, paging

        moving.warm_up(task)
        paging.warm_up()
        return measured(lambda: paging.copied(task))
    if task.work is Work.ASK:
        from benchmarks.asking import asked

        return asked(task)
    if task.work is Work.DELIVER:
        from benchmarks.deliveries import delivered

        return delivered(task)
    from benchmarks.moving import copied, file_copied, warm_up

    warm_up(task)
    if task.work is Work.FILE:
        return measured(lambda: file_copied(task))
    if task.work is Work.COPY:
        return measured(lambda: copied(task))
    if task.work is Work.PASS:
        return measured(lambda: copied(task), times=task.times)
    from benchmarks.executing import executing

    with executing(task, times=WARMING + task.times) as run:
        return measured(run, times=task.times)


def measured(
    work: Callable[[], int], *, times: int = 1, before: Callable[[], None] | None = None
) -> Measure:
    """Time the work; if it is done more than once, after it has warmed up.

    ``before`` is called before each time, and not counted.
    """
    samples, cpu = [], 0.0
    for number in range(-WARMING if times > 1 else 0, times):
        if before is not None:
            before()
        used, started = cpu_seconds(), perf_counter()
        processed = work()
        if number >= 0:
            samples.append(perf_counter() - started)
            cpu += cpu_seconds() - used
    return Measure(
        seconds=sum(samples) / times,
        cpu_seconds=cpu / times,
        peak_mb=peak_mb(),
        processed=processed,
        samples=samples if times > 1 else (),
    )


def cpu_seconds() -> float:
    """Of this process and of children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Read a task from standard input, write its measure to standard output."""
    configure_logging(level=logging.WARNING)
    task = Task.parse(sys.stdin.read())
    measure = perform(task)
    sys.stdout.write(measure.text())


if __name__ == "__main__":
    main()
