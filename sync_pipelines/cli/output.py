"""How results are shown: tables for people, plain columns for pipes, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.contract import Json

Record: TypeAlias = Mapping[str, Json]

NUMBERS = frozenset({"read", "created", "updated", "deleted", "rejected", "rows", "seconds"})
"""Columns that are aligned on the right."""


def print_json(value: Json) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(text: str) -> None:
    """A line of the result."""
    typer.echo(text)


def tell(text: str) -> None:
    """A line about what is going on; not part of the result."""
    typer.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table on a terminal, plain columns elsewhere; ``empty`` is said when there is nothing."""
    if not rows:
        tell(empty)
    elif sys.stdout.isatty():
        _rich_table(columns, rows)
    else:
        _plain_table(columns, rows)


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[" ".join(cell.split()) for cell in line] for line in (columns, *rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = (
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        )
        typer.echo("  ".join(cells).rstrip())


def shown_time(at: datetime | None) -> str:
    """An instant for people, in UTC."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def json_time(at: datetime | None) -> str | None:
    """An instant for programs."""
    return None if at is None else at.astimezone(UTC).isoformat()


def shown_duration(duration: timedelta | None) -> str:
    """A duration for people."""
    if duration is None:
        return ""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def shown_bytes(size: int) -> str:
    """A size for people, in steps of 1000."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
