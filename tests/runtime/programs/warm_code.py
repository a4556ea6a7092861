"""A code location for tests of warm runs: one job that ends at once, one that waits to be told."""

import os
import time
from pathlib import Path

import dagster as dg


def _mark(name: str) -> Path:
    return Path(os.environ["WARM_TEST_MARKS"]) / name


@dg.op
def short_step(context: dg.OpExecutionContext) -> None:
    """Leave a mark: two of one run would be a run that was executed twice."""
    with _mark(context.run.run_id).open("a") as file:
        file.write(f"{os.getpid()}\n")


@dg.op
def long_step(context: dg.OpExecutionContext) -> None:
    """Leave a mark, then wait until the test says go."""
    with _mark(context.run.run_id).open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not _mark("go").exists():
        time.sleep(0.02)


@dg.job(executor_def=dg.in_process_executor)
def short() -> None:
    """Ends at once."""
    short_step()


@dg.job(executor_def=dg.in_process_executor)
def long() -> None:
    """Ends when it is told to."""
    long_step()


defs = dg.Definitions(jobs=[short, long])
