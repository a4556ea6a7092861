import json
import os
import subprocess
import sys

import pytest

from benchmarks.case import Budget, Case, Contender
from benchmarks.cases import CASES
from benchmarks.report import results_of
from benchmarks.task import Measure


@pytest.mark.timeout(170)
def test_every_case_runs_on_a_small_table_and_keeps_its_figures(postgres_server, tmp_path):
    """The data of every contender is compared with the source by the cases themselves."""
    command = [sys.executable, "-m", "benchmarks", "--rows", "2000", "--repeat", "1"]
    environment = {**os.environ, "SYNC_BENCH_DATABASE_URL": postgres_server}

    done = subprocess.run(
        [*command, "--results", str(tmp_path)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    document = json.loads(path.read_text())
    measured = {(one["case"], one["contender"]) for one in document["results"]}
    assert {case for case, _ in measured} == set(CASES)
    assert {("full", "psql"), ("full", "pgcopy"), ("full", "arrow")} <= measured
    assert document["machine"]["cores"] >= 1


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
