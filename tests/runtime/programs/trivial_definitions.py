"""Definitions for the tests of `up`: a job that ends at once, and one that does not."""

import time

from dagster import Definitions, in_process_executor, job, op


@op
def nothing() -> None:
    pass


@op
def sleep_long() -> None:
    time.sleep(300)


@job(executor_def=in_process_executor)
def short() -> None:
    nothing()


@job(executor_def=in_process_executor)
def long() -> None:
    sleep_long()


defs = Definitions(jobs=[short, long])
