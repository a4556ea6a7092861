"""Waiting for a condition, with a bound: nothing here sleeps for hope."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, seconds: float, every: float = 0.05) -> bool:
    """Whether ``condition`` came true within ``seconds``; asked at once, and once at the end."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return condition()
        time.sleep(every)
    return True
