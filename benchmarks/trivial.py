"""The code location of the run benchmark: one job that does nothing."""

import dagster as dg


@dg.op
def nothing() -> None:
    """Do nothing."""


@dg.job(executor_def=dg.in_process_executor)
def trivial() -> None:
    """What a run costs by itself."""
    nothing()


defs = dg.Definitions(jobs=[trivial])
