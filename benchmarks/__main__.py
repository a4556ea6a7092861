"""``python -m benchmarks``: measure, print, and keep the figures."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import orders
from benchmarks.case import Case, Size
from benchmarks.cases import CASES
from benchmarks.place import Place, prepared
from benchmarks.report import RESULTS, Result, commit, results_of, shown, written
from benchmarks.task import Measure

WIDTH = 120
"""Of the tables, where no terminal gives one."""

app = typer.Typer(add_completion=False)


@app.command()
def main(
    rows: Annotated[int, typer.Option(min=100, help="Rows of the table.")] = 1_000_000,
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(CASES)}.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Rounds of each case.")] = 5,
    large: Annotated[bool, typer.Option(help="Memory at five times the rows, too.")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures are kept.")] = RESULTS,
) -> None:
    """Measure the product against psql on this machine.

    An embedded PostgreSQL is started for it; SYNC_BENCH_DATABASE_URL names another.
    """
    unknown = sorted(set(only or ()) - set(CASES))
    if unknown:
        raise typer.BadParameter(f"there is no case {unknown[0]!r}; there are: {', '.join(CASES)}")
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    size = Size(rows=rows, large=large)
    loads = [os.getloadavg()[0]]
    found: list[Result] = []
    measured = commit()
    asked: dict[str, object] = {"rows": rows, "only": only, "repeat": repeat, "large": large}
    try:
        with prepared() as place:
            with console.status(f"making {rows:,} rows"):
                orders.create(place.source, rows)
            for name in only or CASES:
                found += _measured(console, place, name, size, repeat)
                loads.append(os.getloadavg()[0])
    finally:  # also what an error, or Ctrl-C, has left of half an hour
        path = written(found, commit=measured, directory=results, loads=loads, asked=asked)
        console.print(f"Kept in {path.name}")
    if loads[0] > (os.cpu_count() or 1) / 2:
        console.print(f"The machine was busy when this began (load {loads[0]:.1f}).")


def _measured(console: Console, place: Place, name: str, size: Size, repeat: int) -> list[Result]:
    with console.status(f"{name}: preparing") as status:
        case = CASES[name](place, size)
        measures: list[list[Measure]] = [[] for _ in case.contenders]
        rounds = case.rounds or repeat
        for turn in range(rounds):
            case.before_round()
            for position in _order(case, turn):
                contender = case.contenders[position]
                status.update(f"{name}: {contender.name}, {turn + 1} of {rounds}")
                contender.prepare()
                measures[position].append(contender.run())
        status.update(f"{name}: comparing")
        case.check()
    results = results_of(case, measures)
    shown(console, case, results)
    return results


def _order(case: Case, turn: int) -> list[int]:
    """Everybody is first once: whoever is first finds colder caches."""
    every = list(range(len(case.contenders)))
    start = turn % len(every)
    return every[start:] + every[:start]


if __name__ == "__main__":
    app()
