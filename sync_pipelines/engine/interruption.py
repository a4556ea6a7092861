"""Interruptions that are not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. In a callback or a
destructor it is swallowed; while a class is made it is raised as another error. So a signal
is noted too, and what its handler raises is raised again where somebody heeds it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

Handler = Callable[[int, FrameType | None], object]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the process was told to stop."""

    def __init__(self) -> None:
        self._again: Callable[[], object] | None = None

    def heed(self) -> None:
        """Raise what the signal raised, if there was one."""
        if self._again is not None:
            self._again()

    def noted_by(self, handler: Handler) -> Handler:
        """The handler, which is remembered before it is called."""

        def note(number: int, frame: FrameType | None) -> None:
            self._again = lambda: handler(number, None)
            handler(number, frame)

        return note


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Notes signals until it is left; only the main thread may ask for them."""
    found = Interruption()
    if current_thread() is not main_thread():
        yield found
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, found.noted_by(handler))
    try:
        yield found
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
