"""Reads a stream of a database, and takes apart what came."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa

from connectors.contract import Batch, Encoding, Rejection, Selection, Stream, SyncMode
from connectors.registry import get


def read(url: str, name: str, **chosen: Any) -> tuple[Stream, list[Batch]]:
    with closing(get("database").open_source({"url": url})) as source:
        stream = source.stream(name)
        selection = Selection(stream=stream, mode=SyncMode.FULL, **chosen)
        return stream, list(source.read(selection, None, Encoding.ARROW))


def values(batches: Sequence[Batch], column: str = "v") -> list[Any]:
    found: list[Any] = []
    for batch in batches:
        assert isinstance(batch.data, pa.Table)
        found += batch.data.column(column).to_pylist()
    return found


def rejected(batches: Sequence[Batch]) -> list[Rejection]:
    return [one for batch in batches for one in batch.rejected]
