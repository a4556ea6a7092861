"""Items that are made ahead in a thread."""

from collections.abc import Iterator
from contextlib import closing
from threading import Event
from threading import enumerate as threads

import pytest

from connectors.ahead import ahead


def test_items_are_made_before_they_are_asked_for_and_come_in_their_order() -> None:
    made = Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        made.set()
        yield 3

    with closing(ahead(items(), 2, name="made")) as found:
        first = next(found)

        assert made.wait(5)
        assert [first, *found] == [1, 2, 3]


def test_an_error_is_raised_where_its_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found = ahead(items(), 5, name="broken")

    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)


def test_when_it_is_closed_its_thread_has_ended() -> None:
    found = ahead(iter(range(1, 100)), 3, name="ended")
    next(found)

    found.close()

    assert not [one for one in threads() if one.name.startswith("ended")]
