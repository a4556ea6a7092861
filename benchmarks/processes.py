"""Runs one contender once, and measures it from outside: children of ours, and psql's pipes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event, Thread
from time import perf_counter

import psutil

from benchmarks.task import Measure, Task, peak_mb

POLL_SECONDS = 0.02
SPARED = 20
"""How many times as long as a look has taken nobody looks: to add up the pages that belong to a
process alone takes milliseconds, on a processor that what is measured has use for."""


def child(task: Task, *, watch_memory: bool = False) -> Measure:
    """Do a task in a process of its own, which measures itself."""
    command = [sys.executable, "-m", "benchmarks.child"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        own = 0.0

        def look() -> None:
            nonlocal own
            own = max(own, _own_mb(process.pid))

        with _polling(look if watch_memory else None):
            output, _ = process.communicate(task.text().encode())
    if process.returncode != 0:
        raise RuntimeError(f"{task.work} failed; its error is above")
    measure = Measure.parse(output.decode())
    return replace(measure, own_mb=own) if watch_memory else measure


def pipeline(first: Sequence[str], second: Sequence[str]) -> Measure:
    """Run ``first | second``; CPU and memory are those of both together."""
    started = perf_counter()
    writer = subprocess.Popen(first, stdout=subprocess.PIPE)
    reader = subprocess.Popen(second, stdin=writer.stdout, stdout=subprocess.DEVNULL)
    assert writer.stdout is not None
    writer.stdout.close()
    peaks = {writer.pid: 0.0, reader.pid: 0.0}

    def look() -> None:
        for pid, peak in peaks.items():
            peaks[pid] = max(peak, peak_mb(pid))

    with _polling(look):
        cpu = _reaped(reader) + _reaped(writer)
        seconds = perf_counter() - started
    return Measure(seconds=seconds, cpu_seconds=cpu, peak_mb=sum(peaks.values()))


def _reaped(process: "subprocess.Popen[bytes]") -> float:
    """Wait for a process; the CPU seconds that it took."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} failed; its error is above")
    return usage.ru_utime + usage.ru_stime


def _own_mb(pid: int) -> float:
    """Of a process and those that it has started."""
    with suppress(psutil.Error, FileNotFoundError):
        process = psutil.Process(pid)
        every = [process, *process.children(recursive=True)]
        return float(sum(one.memory_full_info().uss for one in every)) / 1024**2
    return 0.0


@contextmanager
def _polling(look: Callable[[], None] | None) -> Iterator[None]:
    """Call ``look`` again and again while a block runs."""
    done = Event()

    def poll() -> None:
        pause = POLL_SECONDS
        while look is not None and not done.wait(pause):
            started = perf_counter()
            look()
            pause = max(POLL_SECONDS, SPARED * (perf_counter() - started))

    thread = Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
