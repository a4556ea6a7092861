"""What a step prints: kept in Dagster's files, where its pages show it, and passed on as it comes.

Dagster's own manager starts four processes a step for that: two that read the files and two
that watch those. Here a thread of the run's process reads them. The process writes to the
files directly, line by line: what it printed before it was killed is in them, whatever became of
the thread.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any, Self

from dagster import DagsterInstance
from dagster._config.config_schema import UserConfigSchema
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import (
    IO_TYPE_EXTENSION,
    LocalComputeLogManager,
)
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file, touch_file

LOOK_SECONDS = 0.2
CHUNK = 65536


class WarmLogManager(LocalComputeLogManager):
    """Dagster's files, filled without further processes. Named by dagster.yaml."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Nothing: the files are where Dagster puts them by itself."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Dagster's way of making one; see `register_instance` for where its files are."""
        return cls("", inst_data=inst_data, **config_value)

    def register_instance(self, instance: DagsterInstance) -> None:
        """Keep the files where that instance keeps all of its own."""
        super().register_instance(instance)
        self._base_dir = self._base_dir or instance.storage_directory()

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Let what is printed meanwhile go to the files of a step, and be passed on."""
        streams = {ComputeIOType.STDOUT: sys.stdout, ComputeIOType.STDERR: sys.stderr}
        with ExitStack() as stack:
            for kind, stream in streams.items():
                path = Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))
                ensure_file(str(path))
                stack.enter_context(_passing_on(path, stream))
                stack.enter_context(redirect_to_file(stream, str(path)))
                stack.enter_context(_line_by_line(stream))
            yield CapturedLogContext(log_key)
        touch_file(self.complete_artifact_path(log_key))  # type: ignore[no-untyped-call]


@contextmanager
def _line_by_line(stream: IO[str]) -> Iterator[None]:
    """Write every line as soon as it is whole, until the block ends.

    Python holds back what goes to a pipe until there is much of it: a kill would lose that, and
    what a child prints would stand before what was said first.
    """
    if not isinstance(stream, TextIOWrapper) or stream.line_buffering:
        yield
        return
    stream.reconfigure(line_buffering=True)
    try:
        yield
    finally:
        stream.reconfigure(line_buffering=False)


@contextmanager
def _passing_on(path: Path, stream: IO[str]) -> Iterator[None]:
    """Copy what is added to a file to where the stream led before, until the block ends."""
    done = Event()
    with path.open("rb") as written, os.fdopen(os.dup(stream.fileno()), "wb") as taker:
        written.seek(0, os.SEEK_END)

        def copy() -> None:
            while data := written.read(CHUNK):
                taker.write(data)
                taker.flush()

        def follow() -> None:
            while not done.wait(LOOK_SECONDS):
                copy()
            copy()

        thread = Thread(target=follow, name=f"log {path.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
