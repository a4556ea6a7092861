"""Which process carries out which run, on disk: true whoever of the processes has died.

Laws:

* A run is entered before its child does anything, and once: starting it again finds
  the entry. Only a resumption replaces it.
* A process is known by its number and when it started; a number alone is used again.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import psutil

KEPT_SECONDS = 24 * 3600
"""Entries of runs that ended are kept so long, for whoever asks how they ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run's process. ``exit_code`` None: it has not been seen to end.

    ``is_reported``: Dagster has been told, or had known before.
    """

    run_id: str
    pid: int
    started: float
    exit_code: int | None = None
    is_reported: bool = False

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        return self.exit_code is None and started_at(self.pid) == self.started


def started_at(pid: int) -> float | None:
    """When a process started; None when there is none, or it only waits to be reaped."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return process.create_time()
    return None


@dataclass(frozen=True, slots=True)
class Ledger:
    """A directory with one small file a run."""

    directory: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """The ledger of an installation's home."""
        directory = home / "runs"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(directory)

    def read(self, run_id: str) -> Entry | None:
        """A run's entry, if it has one."""
        try:
            return Entry(**json.loads(self._path(run_id).read_text()))
        except (FileNotFoundError, ValueError):  # a machine that lost power leaves empty files
            return None

    def write(self, entry: Entry) -> None:
        """Enter or change a run; whoever reads meanwhile finds it whole, old or new."""
        path = self._path(entry.run_id)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(json.dumps(asdict(entry)))
        fresh.replace(path)

    def ended(self, run_id: str, exit_code: int) -> Entry | None:
        """Note how a run's process ended; the entry as it is now."""
        entry = self.read(run_id)
        if entry is None:
            return None
        changed = replace(entry, exit_code=exit_code)
        self.write(changed)
        return changed

    def reported(self, run_id: str) -> None:
        """Note that Dagster knows how a run ended."""
        entry = self.read(run_id)
        if entry is not None:
            self.write(replace(entry, is_reported=True))

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        for path in self.directory.glob("*.json"):
            entry = self.read(path.stem)
            if entry is not None:
                yield entry

    def forget_old(self, now: float) -> None:
        """Remove entries of runs that ended long ago."""
        for path in self.directory.glob("*.json"):
            with suppress(FileNotFoundError):
                entry = self.read(path.stem)
                done = entry is None or (entry.is_reported and not entry.is_alive)
                if done and now - path.stat().st_mtime > KEPT_SECONDS:
                    path.unlink()

    def _path(self, run_id: str) -> Path:
        return self.directory / f"{run_id}.json"
