"""Decodes blocks of JSON lines in a process of its own: Python runs one thread at a time.

Laws: the values are those that `Decoder` makes here, which makes them there; a process that
is killed is a `TransientError`; it ends with whoever feeds it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from select import select
from struct import Struct
from types import ModuleType
from typing import Any, BinaryIO, cast

from connectors.ahead import ahead
from connectors.errors import TransientError
from connectors.files.shape import Columns, Decoder, Shape
from connectors.late import late, pa

ipc: Any = late("pyarrow.ipc")

AHEAD = 2
"""Blocks that it is sent while the one before them is taken from it."""
PIPE_BYTES = 1024 * 1024
_SIZE = Struct("!Q")
_ROWS = b"rows"
"""Said of each block that has columns."""
_READY = b"."


class Aside:
    """A process that decodes; what is sent to it before it `is_ready` waits."""

    def __init__(self, shape: Shape, *, name: str) -> None:
        self._name = name
        self._process = _started(name)
        self._there = cast("BinaryIO", self._process.stdin)
        self._back = cast("BinaryIO", self._process.stdout)
        with suppress(BrokenPipeError):  # it has ended, as its answers will say
            self._there.write(pickle.dumps(shape))
            self._there.flush()

    def is_ready(self) -> bool:
        """Whether it has imported what it needs, or has ended."""
        return bool(select([self._back], [], [], 0)[0])

    def before(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """Those that are taken before it is ready."""
        while not self.is_ready() and (block := next(blocks, None)) is not None:
            yield block

    def decoded(
        self, blocks: Iterator[bytes]
    ) -> Generator[tuple[bytes, Columns | None], None, None]:
        """Each block with what `Decoder.decoded` makes of it; it is asked for once."""
        sent = ahead(self._sent(blocks), AHEAD, name="send")
        answers = self._answers()
        try:
            for block in sent:
                yield block, next(answers)
        finally:
            self._process.kill()  # who sends to it waits for it
            sent.close()

    def close(self) -> None:
        """Returns when it has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._there, self._back):
            with suppress(BrokenPipeError):
                pipe.close()

    def _sent(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks, once they are on their way."""
        for block in blocks:
            try:
                self._there.write(_SIZE.pack(len(block)))
                self._there.write(block)
                self._there.flush()
            except BrokenPipeError as error:
                raise self._ended() from error
            yield block

    def _answers(self) -> Iterator[Columns | None]:
        """One for each block."""
        try:
            self._back.read(len(_READY))
            with ipc.open_stream(self._back) as answers:
                while True:
                    found = answers.read_next_batch_with_custom_metadata()
                    rows = (found.custom_metadata or {}).get(_ROWS)
                    yield Columns(rows=int(rows), values=found.batch) if rows else None
        except (StopIteration, OSError, pa.ArrowInvalid) as error:
            raise self._ended() from error

    def _ended(self) -> TransientError:
        return TransientError(
            f"the process that decodes {self._name!r} has ended, perhaps because memory ran out"
        )


def _started(name: str) -> subprocess.Popen[bytes]:
    """In a group of its own, for we end it ourselves; it finds modules where we do."""
    path = os.pathsep.join(one or str(Path.cwd()) for one in sys.path)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pipesize=PIPE_BYTES,
            process_group=0,
            env={**os.environ, "PYTHONPATH": path},
        )
    except OSError as error:
        raise TransientError(f"no process could be started to decode {name!r}: {error}") from error


def main() -> None:
    """Decode what comes in until nothing more does."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody wants the answers any more
    sys.modules["numpy"] = cast("ModuleType", None)  # Arrow, which asks for it, does without
    coming, going = sys.stdin.buffer, sys.stdout.buffer
    shape: Shape = pickle.load(coming)  # our own words, from who has started us
    decoder, schema = Decoder(shape), shape.schema
    nothing = pa.RecordBatch.from_arrays([pa.nulls(0, one.type) for one in schema], schema=schema)
    going.write(_READY)
    going.flush()
    with ipc.new_stream(going, schema) as answers:
        while size := coming.read(_SIZE.size):
            columns = decoder.decoded(coming.read(*_SIZE.unpack(size)))
            if columns is None:
                answers.write_batch(nothing)
            else:
                answers.write_batch(columns.values, custom_metadata={_ROWS: b"%d" % columns.rows})
            going.flush()


if __name__ == "__main__":
    main()
