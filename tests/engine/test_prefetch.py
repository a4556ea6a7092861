"""Reading ahead: how far, and how it ends."""

from threading import Event, Thread

import pytest

from sync_pipelines.engine.prefetch import DEPTH, MOST_BYTES, read_ahead
from sync_pipelines.engine.progress import CancelledError

SOON = 10.0
"""Seconds after which something that should happen will not."""


class Counting:
    """Items of one size; who waits for the reader to rest knows how many it has taken."""

    def __init__(self, count, *, size):
        self._numbers = iter(range(count))
        self._size = size
        self.taken = 0
        self.closed = Event()
        self.rests = {}

    def __iter__(self):
        return self

    def __next__(self):
        number = next(self._numbers)
        self.taken += 1
        if self.taken in self.rests:
            self.rests[self.taken].set()
        return number

    def size(self, item):
        return self._size

    def after(self, taken):
        self.rests[taken] = Event()
        return self.rests[taken]

    def close(self):
        self.closed.set()


@pytest.mark.parametrize(
    ("size", "ahead"),
    [(1, DEPTH), (MOST_BYTES // 4, 4), (MOST_BYTES // 4 + 1, 3), (10 * MOST_BYTES, 1)],
)
def test_as_many_wait_as_their_number_and_their_bytes_allow(size, ahead):
    """One more is in the reader's hand; it waits there for room."""
    items = Counting(100, size=size)
    full, further = items.after(ahead + 1), items.after(ahead + 2)

    with read_ahead(items, size=items.size) as found:
        assert full.wait(SOON)
        assert not further.wait(0.05)
        taken = [next(found)]
        assert further.wait(SOON)
        taken += found

    assert taken == list(range(100))
    assert items.closed.is_set()


def test_an_error_comes_after_what_was_read_before_it():
    def items():
        yield 1
        raise ValueError("the provider hung up")

    with read_ahead(items(), size=lambda item: item) as found:
        first = next(found)
        with pytest.raises(ValueError, match="hung up"):
            next(found)

    assert first == 1


def test_an_error_of_the_end_is_raised_and_not_waited_for():
    def items():
        try:
            yield 1
        finally:
            raise ValueError("the cursor was lost")

    with (
        pytest.raises(ValueError, match="the cursor was lost"),
        read_ahead(items(), size=lambda item: item) as found,
    ):
        assert list(found) == [1]


def test_who_leaves_early_ends_a_reader_that_waits_for_room():
    items = Counting(100, size=MOST_BYTES)
    full = items.after(2)

    with read_ahead(items, size=items.size):
        assert full.wait(SOON)

    assert items.closed.is_set()
    assert items.taken == 2


def test_who_leaves_early_interrupts_a_reader_that_waits_for_its_source():
    interrupted = Event()

    def items():
        yield 1
        interrupted.wait(SOON)

    with read_ahead(items(), size=lambda item: item, interrupt=interrupted.set) as found:
        assert next(found) == 1

    assert interrupted.is_set()


def test_a_consumer_waits_for_an_item_that_is_late():
    late = Event()

    def items():
        assert late.wait(SOON)
        yield 1

    with read_ahead(items(), size=lambda item: item) as found:
        helper = Thread(target=late.set)
        helper.start()
        assert list(found) == [1]

    helper.join()


def test_who_waits_for_an_item_looks_up_and_may_be_told_to_stop(monkeypatch):
    """R49: a source that is silent holds up no one who cancels."""
    monkeypatch.setattr("sync_pipelines.engine.prefetch.WAITING_SECONDS", 0.01)
    silent, looks = Event(), iter([None, None, CancelledError("cancelled")])

    def items():
        silent.wait(SOON)
        yield 1

    def look():
        error = next(looks)
        if error is not None:
            raise error

    with (
        pytest.raises(CancelledError),
        read_ahead(items(), size=lambda _: 1, interrupt=silent.set, waiting=look) as found,
    ):
        next(found)

    assert silent.is_set()
    assert list(looks) == []
