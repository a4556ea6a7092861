"""Columns of texts as records: typed, completed, and with misfits where the tenant wants them.

What CSV, and every other format's slow path, hands over is text by column; this makes a
`Piece` of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.contract import Rejection
from connectors.errors import ConfigError
from connectors.files.config import Misfits
from connectors.files.fit import fitted
from connectors.files.formats import Piece, Wanted
from connectors.files.kinds import Kind, Texts, Word, suggested
from connectors.late import pa, pc

VARIANT_SUFFIX = "__text"


def numbered(first: int, count: int) -> Any:
    """So many numbers, from the first."""
    made: Any = pa  # its stubs do not know `arange` yet
    return made.arange(first, first + count)


class TextRecords:
    """Makes pieces of text columns, and remembers the types of columns that nobody knew."""

    def __init__(self, wanted: Wanted, name: str) -> None:
        self._wanted = wanted
        self._name = name
        self._new: dict[str, Kind] = {}
        self._read = 0

    def piece(
        self,
        columns: Mapping[str, Texts],
        rows: int,
        rejected: tuple[Rejection, ...] = (),
        sure: Mapping[str, Any] | None = None,
    ) -> Piece:
        """The next records; ``sure`` are columns that are in their type already."""
        arrays, misfits = self._typed(columns, sure or {}, rows)
        numbers = numbered(self._read + 1, rows)
        self._read += rows
        data = pa.table(arrays)
        if misfits:
            data, numbers, more = self._sorted_out(data, numbers, columns, misfits)
            rejected += more
        return Piece(data=data, numbers=numbers, rejected=rejected)

    def _typed(
        self, columns: Mapping[str, Texts], sure: Mapping[str, Any], rows: int
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays: dict[str, Any] = {}
        misfits: dict[str, Any] = {}
        for name in self._wanted.known:
            if name not in self._wanted.chosen:
                continue
            if name in sure:
                arrays[name] = sure[name]
            elif name in columns:
                done = fitted(
                    columns[name],
                    self._wanted.kinds[name],
                    declared=name in self._wanted.declared,
                )
                arrays[name] = done.values
                if done.misfits is not None and pc.any(done.misfits).as_py():
                    misfits[name] = done.misfits
            else:
                arrays[name] = pa.nulls(rows, self._wanted.known[name].type)
        for name, texts in columns.items():
            if name not in self._wanted.known:
                kind = self._kind(name, texts)
                done = fitted(texts, kind, declared=False)
                arrays[name] = done.values
                if done.misfits is not None and pc.any(done.misfits).as_py():
                    misfits[name] = done.misfits
        return arrays, misfits

    def _kind(self, name: str, texts: Texts) -> Kind:
        if name not in self._new:
            found = suggested(texts)
            if found is None:
                return Kind(Word.TEXT)
            self._new[name] = found
        return self._new[name]

    def _sorted_out(
        self, data: pa.Table, numbers: Any, columns: Mapping[str, Texts], misfits: Mapping[str, Any]
    ) -> tuple[pa.Table, Any, tuple[Rejection, ...]]:
        if self._wanted.misfits is Misfits.FAIL:
            name, bad = next(iter(misfits.items()))
            row = numbers[pc.index(bad, True).as_py()].as_py()
            raise ConfigError(
                f"column {name!r} of {self._name!r} is {data.column(name).type}, and the value in "
                f"record {row} is not; declare the column as text in the stream's columns, or "
                "let misfits be kept apart (variant) or rejected"
            )
        if self._wanted.misfits is Misfits.VARIANT:
            for name, bad in misfits.items():
                none = pa.scalar(None, pa.string())
                texts: Any = pc.if_else(bad, columns[name].combine_chunks(), none)
                data = data.append_column(f"{name}{VARIANT_SUFFIX}", texts)
            return data, numbers, ()
        reasons: dict[int, str] = {}
        for name, bad in misfits.items():
            for at in pc.indices_nonzero(bad).to_pylist():
                reasons.setdefault(at, f"column {name!r} holds no {data.column(name).type}")
        rejected = tuple(
            Rejection(key=f"{self._name}:{numbers[at].as_py()}", reason=why)
            for at, why in sorted(reasons.items())
        )
        kept = pa.array([at not in reasons for at in range(len(numbers))])
        return data.filter(kept), numbers.filter(kept), rejected
