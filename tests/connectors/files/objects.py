"""Files that were changed at times of their own, and one read of them."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from connectors.contract import Encoding, Selection, SyncMode, Window
from connectors.files.config import FilesConfig
from connectors.files.source import open_source

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NAMES = st.text(
    st.characters(exclude_characters="/\x00", exclude_categories=["Cs"]), min_size=1, max_size=60
).filter(lambda name: name not in (".", ".."))


def write(directory: Path, name: str, content: str | bytes, *, minute: float = 0) -> Path:
    """A file that was last changed so many minutes after noon."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    at = (NOON + timedelta(minutes=minute)).timestamp()
    os.utime(path, (at, at))
    return path


def batches(
    directory: Path,
    state: Any = None,
    *,
    now: float = 600,
    mode: str = "incremental",
    window: Window | None = None,
    lag: float = 0,
    settle: float = 0,
    path: str = "**/*.csv*",
    **stream: Any,
) -> Any:
    """One read, so many minutes after noon."""
    config = FilesConfig.model_validate(
        {
            "url": directory.as_uri(),
            "settle_seconds": settle,
            "streams": {"orders": {"path": path, "columns": {"id": "text"}, **stream}},
        }
    )
    source = open_source(config, lambda: NOON + timedelta(minutes=now))
    selection = Selection(
        stream=source.stream("orders"),
        mode=SyncMode(mode),
        window=window,
        lag=timedelta(minutes=lag),
    )
    return list(source.read(selection, state, Encoding.ARROW))


def ids(found: Any) -> list[str]:
    return [record["id"] for batch in found for record in batch.data.to_pylist()]
