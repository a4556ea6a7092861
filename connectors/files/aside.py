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
from struct import Struct
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


def decoded_aside(
    blocks: Iterator[bytes], shape: Shape, *, name: str
) -> Generator[tuple[bytes, Columns | None], None, None]:
    """Each block with what `Decoder.decoded` makes of it; closed, the process has ended."""
    process = _started(name)
    sent = ahead(_sent(blocks, process, shape, name), AHEAD, name="send")
    answers = _answers(process, name)
    try:
        for block in sent:
            yield block, next(answers)
    finally:
        process.kill()  # who sends to it waits for it
        sent.close()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                cast("BinaryIO", pipe).close()


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


def _sent(
    blocks: Iterator[bytes], process: subprocess.Popen[bytes], shape: Shape, name: str
) -> Iterator[bytes]:
    """The blocks, once they are on their way."""
    pipe = cast("BinaryIO", process.stdin)
    said = pickle.dumps(shape)
    for block in blocks:
        try:
            pipe.write(said + _SIZE.pack(len(block)))
            pipe.write(block)
            pipe.flush()
        except BrokenPipeError as error:
            raise _ended(name) from error
        said = b""
        yield block


def _answers(process: subprocess.Popen[bytes], name: str) -> Iterator[Columns | None]:
    """One for each block."""
    try:
        with ipc.open_stream(process.stdout) as answers:
            while True:
                found = answers.read_next_batch_with_custom_metadata()
                rows = (found.custom_metadata or {}).get(_ROWS)
                yield Columns(rows=int(rows), values=found.batch) if rows else None
    except (StopIteration, OSError, pa.ArrowInvalid) as error:
        raise _ended(name) from error


def _ended(name: str) -> TransientError:
    return TransientError(
        f"the process that decodes {name!r} has ended, perhaps because memory ran out"
    )


def main() -> None:
    """Decode what comes in until nothing more does."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody wants the answers any more
    coming, going = sys.stdin.buffer, sys.stdout.buffer
    shape: Shape = pickle.load(coming)  # our own words, from who has started us
    decoder, schema = Decoder(shape), shape.schema
    nothing = pa.RecordBatch.from_arrays([pa.nulls(0, one.type) for one in schema], schema=schema)
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
