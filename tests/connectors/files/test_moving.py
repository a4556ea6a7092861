"""Files: whatever is written, breaks off and dies in between, the next good run brings all."""

import json
import os
import tempfile
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Selection, SyncMode
from connectors.errors import ConnectorError
from connectors.files.config import FilesConfig
from connectors.files.source import open_source
from connectors.testing.writing import APPEND, DATASET, TABLE, UPSERT
from tests.contract.moving import moved
from tests.contract.systems import Sqlite
from tests.providers.laws import DiedError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WRITTEN = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 1)), max_size=4
)
"""Which file, how many lines it gets, and how many minutes after the last; 0 lines: half of one."""

ROUNDS = st.lists(
    st.tuples(WRITTEN, WRITTEN, st.none() | st.integers(0, 4)), min_size=1, max_size=4
)
"""What is written before and during a run, and when its process dies."""


class Directory:
    """Files that only grow, or with ``whole`` are written anew; lines are numbered."""

    def __init__(self, at: Path, *, whole: bool) -> None:
        self.at, self.whole = at, whole
        self.texts: dict[str, str] = {}
        self.lines = 0
        self.minutes = 0

    def write(self, name: str, lines: int, minutes: int) -> None:
        if self.whole and name in self.texts:
            minutes += 1  # of the same time and size, nobody could tell it from what it was
        before = "" if self.whole else self.texts.get(name, "")
        if before and not before.endswith("\n"):
            before += "}\n"
        for _ in range(lines):
            self.lines += 1
            before += json.dumps({"id": str(self.lines)}) + "\n"
        if lines == 0 and not self.whole:
            self.lines += 1
            before += json.dumps({"id": str(self.lines)})[:-1]
        self._put(name, before, minutes)

    def finish(self) -> None:
        """The half lines are completed."""
        for name, text in self.texts.items():
            if text and not text.endswith("\n"):
                self._put(name, text + "}\n", 1)

    def _put(self, name: str, text: str, minutes: int) -> None:
        self.minutes += minutes
        self.texts[name] = text
        path = self.at / f"{name}.jsonl"
        path.write_text(text)
        changed_at = (NOON + timedelta(minutes=self.minutes)).timestamp()
        os.utime(path, (changed_at, changed_at))

    def records(self) -> Counter[tuple[str, str]]:
        return Counter(
            (f"{name}.jsonl", json.loads(line)["id"])
            for name, text in self.texts.items()
            for line in text.splitlines()
        )

    def run(self, place: Sqlite, execution: str, batch_rows: int, before: Any) -> None:
        stream = {"path": "*.jsonl", "columns": {"id": "text"}, "append_only": not self.whole}
        config = FilesConfig.model_validate(
            {"url": self.at.as_uri(), "settle_seconds": 0, "streams": {"orders": stream}}
        )
        now = NOON + timedelta(minutes=self.minutes + 1)
        with (
            closing(open_source(config, lambda: now)) as source,
            closing(place.destination()) as to,
        ):
            found = source.stream("orders")
            target = replace(
                UPSERT if self.whole else APPEND,
                execution=execution,
                schema=found.schema,
                primary_key=found.primary_key,
                cursor_field=found.cursor_field,
            )
            selection = Selection(stream=found, mode=SyncMode.INCREMENTAL, batch_rows=batch_rows)
            moved(source, to, selection, target, before=before)


@pytest.mark.parametrize("whole", [False, True], ids=["append only", "written anew"])
def test_what_is_written_and_breaks_off_loses_nothing(tmp_path: Path, whole: bool) -> None:
    """R70, R152. A file that is written anew is told by the version that it last had."""

    @settings(max_examples=8, deadline=None)
    @given(rounds=ROUNDS, batch_rows=st.integers(1, 4))
    def proven(rounds: list[Any], batch_rows: int) -> None:
        home = Path(tempfile.mkdtemp(dir=tmp_path))
        (home / "in").mkdir()
        directory, place = Directory(home / "in", whole=whole), Sqlite(home)
        for number, (earlier, meanwhile, dies_at) in enumerate(rounds):
            for one in earlier:
                directory.write(*one)

            def happens(batch: int, now: Any = meanwhile, at: int | None = dies_at) -> None:
                if batch == at:
                    raise DiedError
                if batch == 1:
                    for one in now:
                        directory.write(*one)

            with suppress(ConnectorError, DiedError):
                directory.run(place, f"e{number}", batch_rows, happens)
        directory.finish()
        directory.write("z", 1, 1)
        directory.run(place, "good", batch_rows, lambda batch: None)

        found = place.records(DATASET, TABLE) or ()
        there = Counter((str(one["_file"]), str(one["id"])) for one in found)
        wanted = directory.records()
        if whole:
            # Lines that a file no longer has stay, as those of a file that is gone do.
            assert wanted <= there
        else:
            assert there == wanted

    proven()
