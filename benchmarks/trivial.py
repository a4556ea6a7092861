"""The code location of the run benchmarks: a job that does nothing, a sensor that asks for many."""

import os

import dagster as dg

CROWD = "SYNC_BENCH_CROWD"
"""In the environment: how many runs the sensor asks for, once."""


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job(executor_def=dg.in_process_executor)
def trivial() -> None:
    """What a run costs by itself."""
    nothing()


@dg.sensor(job=trivial, default_status=dg.DefaultSensorStatus.RUNNING)
def crowd() -> list[dg.RunRequest]:
    """Ask for so many runs; they have the same keys whenever it is asked again."""
    return [dg.RunRequest(run_key=str(n)) for n in range(int(os.environ.get(CROWD, "0")))]


defs = dg.Definitions(jobs=[trivial], sensors=[crowd])
