import json
import os
import subprocess
import sys

import pytest

from benchmarks import report
from benchmarks.case import Budget, Case, Contender, Limit
from benchmarks.cases import CASES
from benchmarks.report import results_of
from benchmarks.task import Measure

WHOLE_RUNS = {"runs", "queue", "rush", "lateness", "webhooks", "flood"}
"""Cases that start Dagster's processes: a minute and more each."""


@pytest.mark.timeout(170)
def test_every_case_runs_on_a_small_table_and_keeps_its_figures(postgres_server, tmp_path):
    """The data of every contender is compared with the source by the cases themselves."""
    document = bench(postgres_server, tmp_path, *sorted(set(CASES) - WHOLE_RUNS))

    measured = {(one["case"], one["contender"]) for one in document["results"]}
    assert {case for case, _ in measured} == set(CASES) - WHOLE_RUNS
    assert {("full", "psql"), ("full", "pgcopy"), ("full", "arrow")} <= measured
    assert document["machine"]["cores"] >= 1


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_runs_are_measured_beside_those_of_dagster_as_it_comes(postgres_server, tmp_path):
    """What they take differs by machine; that ours ask less of the database does not."""
    document = bench(postgres_server, tmp_path, "runs")

    stock, ours = (one["figures"] for one in document["results"])
    assert stock.keys() == ours.keys()
    assert ours["connections a run"] < stock["connections a run"] / 4
    assert ours["statements a run"] < stock["statements a run"]
    assert ours["kB stored a run"] < stock["kB stored a run"]
    assert 0 < ours["memory of its own, MB"] < stock["memory of its own, MB"]


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
def test_dagsters_daemon_claims_what_is_due_and_is_told_how_late(postgres_server, tmp_path):
    document = bench(postgres_server, tmp_path, "lateness")

    (result,) = document["results"]
    assert len(result["seconds"]) == 2
    assert 0 < result["median_seconds"] <= result["slowest_seconds"] < 60


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(600)
def test_a_rush_is_measured_with_the_whole_product(postgres_server, tmp_path):
    document = bench(postgres_server, tmp_path, "queue", "rush")

    rush = document["results"][-1]["figures"]
    assert 0 < rush["until the last has finished, s"] < 120


def bench(server, results, *cases):
    """Run the benchmarks of some cases; the document that they keep."""
    command = [sys.executable, "-m", "benchmarks", "--rows", "2000", "--repeat", "1"]
    done = subprocess.run(
        [*command, "--results", str(results), *(part for one in cases for part in ("--only", one))],
        env={**os.environ, "SYNC_BENCH_DATABASE_URL": server},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = results.glob("*.json")
    return json.loads(path.read_text())


def test_figures_of_a_changed_tree_are_not_filed_under_its_commit(tmp_path, monkeypatch):
    def git(*command):
        known = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.example"}
        known |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.example"}
        subprocess.run(["git", *command], cwd=tmp_path, check=True, env=os.environ | known)

    (tmp_path / "report.py").write_text("1")
    git("init", "-q")
    git("add", "report.py")
    git("commit", "-qm", "one")
    monkeypatch.setattr(report, "__file__", str(tmp_path / "report.py"))
    before = report.commit()
    (tmp_path / "report.py").write_text("2")
    after = report.commit()

    assert after == f"{before}-changed"


def test_a_figure_is_judged_by_what_it_must_at_least_be():
    case = compared(Budget(figures={"runs a minute": Limit(at_least=390)}))

    (enough,) = results_of(case, [[measure(1.0, figures={"runs a minute": 400})]])
    (too_few,) = results_of(case, [[measure(1.0, figures={"runs a minute": 380})]])

    assert enough.met is True
    assert too_few.met is False


@pytest.mark.parametrize("budget", [Budget(ratio=1.05), Budget(ratio=1.05, own_mb=250)])
def test_a_ratio_is_the_median_of_the_rounds_ratios(budget):
    """A round in which the machine was busy slows both, and says nothing."""
    peer = [measure(1.0), measure(10.0), measure(2.0)]
    ours = [measure(2.0), measure(11.0), measure(2.0)]
    case = compared(Budget(), budget)

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


def measure(seconds, samples=(), figures=None):
    return Measure(
        seconds=seconds,
        cpu_seconds=0.1,
        peak_mb=50,
        processed=1000,
        samples=samples,
        figures=figures or {},
    )


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
