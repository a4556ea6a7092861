"""Walks the pages of one list, in order, several in flight where they are known.

Laws:

* A list ends, or the walk does: a page that was asked for before is an error, and so is
  one too many.
* Pages that are places in a list move when the list changes. Such a walk is `steady` only
  if its first and its last page are found again as they were; else a record may have
  slipped from one page to another unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from connectors.errors import ConfigError, ConnectorError, TransientError
from connectors.http.call import Answer, Call
from connectors.http.client import HttpClient
from connectors.http.redact import shown_url
from connectors.rest.pages import Page
from connectors.rest.records import find, records_at
from connectors.rest.spec import StreamSpec

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 1
"""Calls that are under way or waiting to be taken, for each that may be made at a time."""


def in_order(work: Callable[[T], R], items: Iterable[T], *, most: int) -> Iterator[R]:
    """The results of ``work``, in the order of ``items``, up to ``most`` at a time."""
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(most, thread_name_prefix="pages")
    try:
        coming = iter(items)
        while True:
            while len(waiting) < most * AHEAD:
                try:
                    waiting.append(pool.submit(work, next(coming)))
                except StopIteration:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class Walk:
    """One pass over one list."""

    client: HttpClient
    spec: StreamSpec
    _first: Page | None = None
    _last: Page | None = None
    _asked: set[int] = field(default_factory=set)

    def page(self, call: Call) -> Page:
        """One page, fetched and decoded; a body that breaks off is asked for again."""
        return self.client.fetch(call, partial(self._decoded, call))

    def first(self, call: Call) -> Page:
        """The first page of the list that ``call`` asks for."""
        first = self.spec.pages.first(call)
        self._note(first)
        self._first = self._last = self.page(first)
        return self._first

    def rest(self, first: Page) -> Iterator[Page]:
        """The pages after the first one."""
        known = self.spec.pages.ahead(first)
        for call in known:
            self._note(call)
        if known:
            yield from self._known(known)
        # What was added meanwhile, or all of it where nothing was known.
        after = self.spec.pages.next(self._last or first)
        while after is not None:
            yield (last := self.following(after))
            after = self.spec.pages.next(last)

    def _known(self, calls: Sequence[Call]) -> Iterator[Page]:
        """Several in flight. They wait as they came: decoded, a page takes five times as much."""
        answers = in_order(self.client.send, calls, most=self.client.limits.concurrency)
        for call, answer in zip(calls, answers, strict=True):
            try:
                self._last = self._decoded(call, answer)
            except ConnectorError:
                # Asked for again, by the client's laws of what is repeated and what is told.
                self._last = self.page(call)
            yield self._last

    def _decoded(self, call: Call, answer: Answer) -> Page:
        body = answer.json()
        found = records_at(body, self.spec.records, stream=self.spec.name)
        return Page(call=call, answer=answer, body=body, records=found)

    def following(self, call: Call) -> Page:
        """A page after the first one."""
        self._note(call)
        self._last = self.page(call)
        return self._last

    def pages(self, call: Call) -> Iterator[Page]:
        """All pages of the list that ``call`` asks for."""
        first = self.first(call)
        yield first
        yield from self.rest(first)

    def is_steady(self) -> bool:
        """Whether nothing moved between the pages while they were walked. Asks twice."""
        first, last = self._first, self._last
        if not self.spec.pages.shifts or first is None or last is None or first is last:
            return True
        again = list(in_order(self.page, [first.call, last.call], most=2))
        return all(
            self._marks(now)[: len(before.records)] == self._marks(before)
            for before, now in zip((first, last), again, strict=True)
        )

    def _marks(self, page: Page) -> Sequence[Any]:
        """What tells the records of a page apart: their keys, or all there is of them."""
        key = self.spec.primary_key
        if self.spec.parent is not None or not key:
            return page.records
        marks = [[find(record, name) for name in key] for record in page.records]
        return page.records if any(None in mark for mark in marks) else marks

    def _note(self, call: Call) -> None:
        mark = hash((call.path, call.params))
        where = shown_url(self.client.url_of(call))
        if mark in self._asked:
            raise TransientError(
                f"{where} leads back to a page that was read already; what follows it "
                "cannot be reached"
            )
        self._asked.add(mark)
        if len(self._asked) > self.client.limits.pages:
            raise ConfigError(
                f"stream {self.spec.name!r} has more than {self.client.limits.pages:,} pages; "
                "ask for larger ones, or allow more with max_pages"
            )
