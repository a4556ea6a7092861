"""Reads ahead in one thread, so that the source works while the destination writes."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1
"""How long a reader whose batches nobody wants any more may take to end by itself."""

TURN_SECONDS = 0.0005
"""How long a thread keeps Python to itself while another waits for it. A writer needs it for a
moment thousands of times, and would wait Python's own 5 ms each time."""

WAITING_SECONDS = 1.0
"""How often one who waits for the next item looks up."""

PATIENCE_SECONDS = 10.0
"""How long a reader that cannot be interrupted is waited for; it ends with the process."""

DEPTH = 8
"""Batches of some 2 MB: enough to read on while a destination takes 100,000 rows at once."""

MOST_BYTES = 32 * 1024 * 1024
"""Of batches that wait, where records are large; one that is larger waits alone."""


@contextmanager
def read_ahead(
    items: Iterator[T],
    *,
    size: Callable[[T], int],
    interrupt: Callable[[], None] | None = None,
    waiting: Callable[[], None] | None = None,
) -> Iterator[Iterator[T]]:
    """The same items, some of them taken ahead while the block runs.

    ``size`` is how many bytes an item holds. ``interrupt`` ends an item that is still waited
    for when the block is left early. ``waiting`` is called now and then while an item is
    waited for; what it raises ends the waiting.
    """
    prefetch = Prefetch(items, size=size, interrupt=interrupt, waiting=waiting)
    try:
        yield iter(prefetch)
    finally:
        prefetch.close()


class Prefetch(Generic[T]):
    """Iterates over ``items``, up to `DEPTH` and `MOST_BYTES` of them taken ahead by a thread.

    An error of the iterator is raised where its next item would have come. Closing
    stops the thread and closes the iterator, in the thread that owns it.
    """

    def __init__(
        self,
        items: Iterator[T],
        *,
        size: Callable[[T], int],
        interrupt: Callable[[], None] | None = None,
        waiting: Callable[[], None] | None = None,
    ) -> None:
        self._items = items
        self._size = size
        self._interrupt = interrupt
        self._look_up = waiting
        self._waiting: deque[tuple[T, int]] = deque()
        self._held = 0
        self._changed = Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        # In the context of who reads, whose ids its lines in the log have too.
        reading = copy_context()
        sys.setswitchinterval(TURN_SECONDS)
        self._thread = Thread(target=reading.run, args=(self._read,), name="prefetch", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._changed.wait_for(self._is_there, WAITING_SECONDS):
                    if self._look_up is not None:
                        self._look_up()
                if not self._waiting:
                    break
                item, size = self._waiting.popleft()
                self._held -= size
                self._changed.notify_all()
            yield item
        if self._error is not None:
            raise self._error

    def _is_there(self) -> bool:
        return self._ended or bool(self._waiting)

    def close(self) -> None:
        """Stop reading; returns when the thread has ended, or will not in `PATIENCE_SECONDS`."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        until = monotonic() + PATIENCE_SECONDS
        self._thread.join(POLL_SECONDS)
        while self._thread.is_alive() and monotonic() < until:
            if self._interrupt is not None:
                self._interrupt()
            self._thread.join(POLL_SECONDS)

    def _read(self) -> None:
        try:
            self._take()
        except BaseException as error:  # it is raised in the reader's consumer
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
                del item  # it would be held until the next one is there
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()

    def _put(self, item: T) -> bool:
        """Let it wait for its turn; False where nobody wants it any more."""
        size = self._size(item)
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(size))
            if not self._closed:
                self._waiting.append((item, size))
                self._held += size
                self._changed.notify_all()
            return not self._closed

    def _has_room(self, size: int) -> bool:
        fits = len(self._waiting) < DEPTH and self._held + size <= MOST_BYTES
        return fits or not self._waiting
