"""JSON lines that a process of its own decodes: the same records, and it leaves nothing behind."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from connectors import registry
from connectors.contract import Encoding, Selection, SyncMode
from connectors.errors import TransientError
from connectors.files.aside import Aside
from connectors.files.formats import jsonl
from connectors.files.kinds import Kind, Word
from connectors.files.shape import Shape

COLUMNS = {"id": "integer", "name": "text", "at": "instant", "price": "decimal(9,2)", "d": "json"}
SHAPE = Shape(kinds={"id": Kind(Word.INTEGER)}, chosen=frozenset({"id"}), null_documents=False)

FOREVER = """
from itertools import repeat
from connectors.files.aside import Aside
from connectors.files.kinds import Kind, Word
from connectors.files.shape import Shape
shape = Shape(kinds={"id": Kind(Word.INTEGER)}, chosen=frozenset({"id"}), null_documents=False)
found = Aside(shape, name="a").decoded(repeat(b'{"id": 1}\\n' * 1000))
print(next(found)[1].rows, flush=True)
input()
"""


def _line(number: int) -> str:
    record: dict[str, Any] = {"id": number, "name": f"näme {number}", "d": {"n": [number, 1.50]}}
    record |= {"at": f"2026-01-01T00:00:{number % 60:02}Z", "price": number / 4}
    if number == 700:
        record["new"] = "x"  # this block is decoded line by line
    if number % 7 == 0:
        del record["name"], record["d"]
    return "[no object" if number == 400 else json.dumps(record)


def _batches(path: Path) -> Any:
    source = registry.get("files").open_source(
        {
            "url": path.parent.as_uri(),
            "settle_seconds": 0,
            "streams": {"a": {"path": path.name, "columns": COLUMNS}},
        }
    )
    selection = Selection(stream=source.stream("a"), mode=SyncMode.FULL)
    return source.read(selection, None, Encoding.ARROW)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """So small, with so few before the process starts and none while it does, that it is needed."""
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(jsonl, "ALONE", 2)
    monkeypatch.setattr(jsonl, "MOST_LOAD", math.inf)
    monkeypatch.setattr(Aside, "before", lambda aside, blocks: iter(()))
    return monkeypatch


def _children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "connectors.files.aside" in one.cmdline()]


def test_records_and_rejections_are_the_same_wherever_lines_are_decoded(
    tmp_path: Path, small_blocks: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(_line, range(1, 1001))))

    aside = list(_batches(path))
    small_blocks.setattr(jsonl, "MOST_LOAD", -1)
    small_blocks.setattr(jsonl, "Aside", None)
    here = list(_batches(path))

    assert [one.data.to_pylist() for one in aside] == [one.data.to_pylist() for one in here]
    assert [one.data.schema for one in aside] == [one.data.schema for one in here]
    assert [r.key for one in aside for r in one.rejected] == ["a.jsonl:400"]
    assert sum(one.data.num_rows for one in aside) == 999


def test_a_file_that_was_cut_off_is_told_the_same_wherever_lines_are_decoded(
    tmp_path: Path, small_blocks: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl.gz"
    packed = gzip.compress("\n".join(map(_line, range(1, 5001))).encode())
    path.write_bytes(packed[:-100])

    with pytest.raises(TransientError, match="half-written, or was cut off"):
        list(_batches(path))

    assert not _children()


def test_records_of_which_no_field_is_wanted_are_counted() -> None:
    shape = Shape(kinds=SHAPE.kinds, chosen=frozenset(), null_documents=False)

    with closing(Aside(shape, name="a")) as aside:
        found = list(aside.decoded(iter([b'{"id": 1}\n{"id": 2}\n', b"{}\n"])))

    assert [columns and columns.rows for _, columns in found] == [2, 1]


def test_until_it_is_ready_blocks_are_left_to_who_has_started_it() -> None:
    blocks = (b'{"id": %d}\n' % number for number in count())

    with closing(Aside(SHAPE, name="a")) as aside:
        os.kill(_children()[0].pid, signal.SIGSTOP)
        before = aside.before(blocks)
        first = next(before)
        assert not aside.is_ready()
        os.kill(_children()[0].pid, signal.SIGCONT)
        taken = [first, *before]
        then, columns = next(aside.decoded(blocks))

    assert then == b'{"id": %d}\n' % len(taken)
    assert columns is not None
    assert columns.values.column("id").to_pylist() == [len(taken)]


def test_a_process_that_is_killed_is_an_error_that_passes() -> None:
    blocks = iter([b'{"id": 1}\n' * 200_000] * 20)

    with closing(Aside(SHAPE, name="orders.jsonl")) as aside:
        found = aside.decoded(blocks)
        next(found)
        os.kill(_children()[0].pid, signal.SIGKILL)

        with pytest.raises(TransientError, match=r"that decodes 'orders\.jsonl' has ended"):
            list(found)


def test_a_process_that_cannot_begin_is_an_error_that_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with (
        closing(Aside(SHAPE, name="a")) as aside,
        pytest.raises(TransientError, match="has ended"),
    ):
        list(aside.decoded(iter([b'{"id": 1}\n'])))


def test_when_it_is_closed_early_its_process_has_ended() -> None:
    blocks = iter([b'{"id": 1}\n' * 200_000] * 20)
    aside = Aside(SHAPE, name="a")
    found = aside.decoded(blocks)
    next(found)
    (child,) = _children()

    found.close()
    aside.close()

    assert not child.is_running()


def test_a_process_whose_reader_is_killed_ends() -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", FOREVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"1000\n"
        (child,) = psutil.Process(reader.pid).children()

        reader.kill()

    assert psutil.wait_procs([child], timeout=10)[1] == []
