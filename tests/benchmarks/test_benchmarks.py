import json
import os
import subprocess
import sys

import pytest

from benchmarks.case import Budget, Case, Contender
from benchmarks.cases import CASES
from benchmarks.report import results_of
from benchmarks.task import Measure

WITH_A_DAEMON = {"lateness"}
"""They wait for Dagster's daemon, and for a minute of the clock to begin."""


@pytest.mark.timeout(170)
def test_every_case_runs_on_a_small_table_and_keeps_its_figures(postgres_server, tmp_path):
    """The data of every contender is compared with the source by the cases themselves."""
    cases = sorted(set(CASES) - WITH_A_DAEMON)

    document = benchmarked(postgres_server, tmp_path, cases)

    measured = {(one["case"], one["contender"]) for one in document["results"]}
    assert {case for case, _ in measured} == set(cases)
    assert {("full", "psql"), ("full", "pgcopy"), ("full", "arrow")} <= measured
    assert document["machine"]["cores"] >= 1


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
def test_dagsters_daemon_claims_what_is_due_and_is_told_how_late(postgres_server, tmp_path):
    document = benchmarked(postgres_server, tmp_path, sorted(WITH_A_DAEMON))

    (result,) = document["results"]
    assert len(result["seconds"]) == 2
    assert 0 < result["median_seconds"] <= result["slowest_seconds"] < 60


def benchmarked(server, directory, cases):
    """The figures of a run of these cases on a small table."""
    command = [sys.executable, "-m", "benchmarks", "--rows", "2000", "--repeat", "1"]
    only = [part for case in cases for part in ("--only", case)]

    done = subprocess.run(
        [*command, *only, "--results", str(directory)],
        env={**os.environ, "SYNC_BENCH_DATABASE_URL": server},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    (path,) = directory.glob("*.json")
    return json.loads(path.read_text())


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    """A round in which the machine was busy slows both, and says nothing."""
    peer = [measure(1.0), measure(10.0), measure(2.0)]
    ours = [measure(2.0), measure(11.0), measure(2.0)]
    case = compared(Budget(), Budget(ratio=1.05))

    _, result = results_of(case, [peer, ours])

    assert result.ratio == 1.1
    assert result.met is False
    assert result.median_seconds == 2.0
    assert result.rows_per_second == 500


def test_work_that_is_repeated_is_judged_by_its_median_in_milliseconds():
    case = compared(Budget(milliseconds=20))
    samples = [0.010] * 15 + [0.015] * 4 + [0.5]

    (result,) = results_of(case, [[measure(0.04, samples)]])

    assert result.median_seconds == 0.010
    assert result.p95_seconds == pytest.approx(0.47575)
    assert result.met is True


def measure(seconds, samples=()):
    return Measure(seconds=seconds, cpu_seconds=0.1, peak_mb=50, processed=1000, samples=samples)


def compared(*budgets):
    contenders = [
        Contender(name=f"c{n}", run=lambda: measure(1), prepare=lambda: None, budget=budget)
        for n, budget in enumerate(budgets)
    ]
    return Case(
        name="case",
        title="Case",
        rows=1000,
        contenders=contenders,
        before_round=lambda: None,
        check=lambda: None,
    )
