"""Live progress of a sync: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sync_pipelines.cli.doors import is_terminal
from sync_pipelines.cli.output import shown_bytes, tell

LINE_SECONDS = 5.0
REDRAW_SECONDS = 0.1


class View(Protocol):
    """Shows where an execution stands."""

    def show(self, progress: Mapping[str, Any]) -> None:
        """The numbers as `engine.progress.Progress.snapshot` gives them; may be empty."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


@contextmanager
def watching() -> Iterator[View]:
    """A view on standard error, as fits what that is."""
    if not is_terminal():
        yield _Lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Bar(bar)


def throttled(show: Callable[[], None], seconds: float) -> Callable[[], None]:
    """At most one call in so many seconds: progress is reported at every chunk."""
    last = monotonic() - seconds

    def maybe() -> None:
        nonlocal last
        if monotonic() - last >= seconds:
            last = monotonic()
            show()

    return maybe


def amount_of(progress: Mapping[str, Any]) -> str:
    """Rows and bytes; rows are unknown while bytes go through undecoded."""
    rows, size = int(progress.get("rows_read", 0)), shown_bytes(int(progress.get("bytes_read", 0)))
    return f"{rows:,} rows, {size}" if rows else size


class _Bar:
    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None, amount="")

    def show(self, progress: Mapping[str, Any]) -> None:
        if not progress:
            return
        total = int(progress["streams_total"])
        self._bar.update(
            self._task,
            description=f"{progress['stream']} {progress['phase']}".strip(),
            completed=int(progress["streams_done"]),
            # Of one stream nobody knows the end: the bar only shows that it goes on.
            total=total if total > 1 else None,
            amount=amount_of(progress),
        )

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)


class _Lines:
    def __init__(self) -> None:
        self._stream: str | None = None
        self._said_at = 0.0

    def show(self, progress: Mapping[str, Any]) -> None:
        if not progress:
            return
        stream = str(progress["stream"])
        if stream == self._stream and monotonic() - self._said_at < LINE_SECONDS:
            return
        self._stream, self._said_at = stream, monotonic()
        place = f"{int(progress['streams_done']) + 1}/{progress['streams_total']}"
        amount = f", {amount_of(progress)}" if progress["bytes_read"] else ""
        tell(f"{stream} ({place}): {progress['phase']}{amount}")

    def say(self, text: str) -> None:
        tell(text)
