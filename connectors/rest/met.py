"""Which records of a long list have come already, told by their marks alone.

Law: a mark takes 8 bytes, however many there are; in a set of Python's it takes 70.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.late import late

np = late("numpy")


class Met:
    """Marks of 64 bits, in sorted runs that are joined as they grow."""

    def __init__(self) -> None:
        self._runs: list[Any] = []

    def first_time(self, marks: Sequence[int]) -> Sequence[bool]:
        """Of each mark, whether it has not come before; from now on it has."""
        ones, places = np.unique(np.array(marks, np.int64), return_index=True)
        fresh = np.ones(len(ones), bool)
        for run in self._runs:
            fresh &= run[np.searchsorted(run[:-1], ones)] != ones
        self._remember(ones[fresh])
        first = np.zeros(len(marks), bool)
        first[places[fresh]] = True
        found: Sequence[bool] = first.tolist()
        return found

    def _remember(self, run: Any) -> None:
        # Each run is longer than the next, so that there are few of them.
        while self._runs and len(self._runs[-1]) <= len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")
        if len(run):
            self._runs.append(run)
