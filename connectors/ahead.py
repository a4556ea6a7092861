"""Makes items in a thread, a few of them before they are asked for.

Law: when the iterator is closed, its thread has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], count: int, *, name: str) -> Generator[T, None, None]:
    """The same items, ``count`` of them made while the one before them is used."""
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    coming: deque[Future[T | None]] = deque()
    try:
        while True:
            while len(coming) <= count:
                coming.append(pool.submit(next, items, None))
            item = coming.popleft().result()
            if item is None:
                return
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
