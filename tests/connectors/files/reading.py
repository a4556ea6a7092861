"""Reads the files of a directory as a stream of records, from the beginning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode

TEXT = st.text(st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]), max_size=20)


def source_of(directory: Path, path: str, config: Mapping[str, Any] | None = None, **stream: Any):
    settings = {"url": directory.as_uri(), "settle_seconds": 0, **(config or {})}
    return registry.get("files").open_source(
        {**settings, "streams": {"records": {"path": path, **stream}}}
    )


def reading(
    directory: Path,
    path: str,
    config: Mapping[str, Any] | None = None,
    *,
    mode: SyncMode = SyncMode.FULL,
    **stream: Any,
) -> Any:
    """The batches as they come."""
    source = source_of(directory, path, config, **stream)
    selection = Selection(stream=source.stream("records"), mode=mode)
    return source.read(selection, None, Encoding.ARROW)


def batches_of(directory: Path, path: str, **stream: Any) -> Any:
    return list(reading(directory, path, **stream))


def records_of(directory: Path, path: str, **stream: Any) -> list[dict[str, Any]]:
    tables = [batch.data for batch in batches_of(directory, path, **stream)]
    return [record for table in tables for record in table.to_pylist()]


def column_of(directory: Path, path: str, name: str, **stream: Any) -> list[Any]:
    return [record[name] for record in records_of(directory, path, **stream)]
