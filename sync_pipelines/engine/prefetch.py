"""Reads ahead in one thread, so that the source works while the destination writes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from queue import Empty, Full, Queue
from threading import Event, Thread
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1
"""How soon a reader notices that nobody wants its batches any more."""

TURN_SECONDS = 0.0005
"""How long a thread keeps Python to itself while another waits for it. A writer needs it for a
moment thousands of times, and would wait Python's own 5 ms each time."""

PATIENCE_SECONDS = 10.0
"""How long a reader that cannot be interrupted is waited for; it ends with the process."""


DEPTH = 8
"""Batches of some 2 MB: enough to read on while a destination takes 100,000 rows at once."""


@contextmanager
def read_ahead(
    items: Iterator[T], *, depth: int = DEPTH, interrupt: Callable[[], None] | None = None
) -> Iterator[Iterator[T]]:
    """The same items, up to ``depth`` of them taken ahead while the block runs.

    ``interrupt`` ends an item that is still waited for when the block is left early.
    """
    prefetch = Prefetch(items, depth=depth, interrupt=interrupt)
    try:
        yield iter(prefetch)
    finally:
        prefetch.close()


class _End:
    """What the thread puts last: nothing more, or the error that ended the reading."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """Iterates over ``items``, up to ``depth`` of them taken ahead by a thread.

    An error of the iterator is raised where its next item would have come. Closing
    stops the thread and closes the iterator, in the thread that owns it.
    """

    def __init__(
        self, items: Iterator[T], *, depth: int = DEPTH, interrupt: Callable[[], None] | None = None
    ) -> None:
        self._items = items
        self._interrupt = interrupt
        self._queue: Queue[T | _End] = Queue(maxsize=depth)
        self._closed = Event()
        # In the context of who reads, whose ids its lines in the log have too.
        reading = copy_context()
        sys.setswitchinterval(TURN_SECONDS)
        self._thread = Thread(target=reading.run, args=(self._read,), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def close(self) -> None:
        """Stop reading; returns when the thread has ended, or will not in `PATIENCE_SECONDS`."""
        self._closed.set()
        since = monotonic()
        while self._thread.is_alive() and monotonic() - since < PATIENCE_SECONDS:
            if self._interrupt is not None and monotonic() - since > POLL_SECONDS:
                self._interrupt()
            with suppress(Empty):
                self._queue.get(timeout=POLL_SECONDS)

    def _read(self) -> None:
        end = _End(None)
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as error:  # it is raised in the reader's consumer
            end = _End(error)
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put(end)

    def _put(self, item: T | _End) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
            except Full:
                continue
            return True
        return False
