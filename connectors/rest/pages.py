"""How a list goes on: one small class for each way of paging.

A way of paging has three methods. ``first`` turns the call for the list into the call
for its first page; ``next`` is the call for the page after one, None after the last;
``ahead`` is every further call where the first page already tells how many there are, so
that several are fetched at once.

That a list leads back to a page it came from is noticed by who walks it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urljoin

from connectors.errors import ConfigError
from connectors.http.call import Answer, Call
from connectors.rest.records import Record, find

_LINK = re.compile(r"<([^>]*)>\s*((?:;\s*[^,;=]+(?:=(?:\"[^\"]*\"|[^,;]*))?\s*)*)")
_NEXT = re.compile(r";\s*rel\s*=\s*(?:\"(?:[^\"]*\s)?next(?:\s[^\"]*)?\"|next\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page as it came: the answer, its body decoded, and the records in it."""

    call: Call
    answer: Answer
    body: Any
    records: Sequence[Record]


class Pages(Protocol):
    """A way of paging. ``shifts``: a change during the scan moves records between pages."""

    @property
    def shifts(self) -> bool:
        """Whether pages are places in a list, which move when the list changes."""
        ...

    def first(self, call: Call) -> Call:
        """The call for the first page."""
        ...

    def next(self, page: Page) -> Call | None:
        """The call for the page after this one; None after the last."""
        ...

    def ahead(self, page: Page) -> Sequence[Call]:
        """After the first page: every further call, if they are known; else none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePage:
    """The answer is the whole list."""

    shifts: bool = False

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        return call

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        return None

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Where an answer tells how much there is: a header or a place in the body.

    ``pages`` says that it is the number of pages, not of records.
    """

    header: str | None = None
    path: str | None = None
    pages: bool = False

    def read(self, page: Page) -> int | None:
        """The number; None if this answer does not tell."""
        said: Any = None
        if self.header is not None:
            said = page.answer.headers.get(self.header.lower())
        elif self.path is not None:
            said = find(page.body, self.path)
        try:
            return None if said is None or isinstance(said, bool) else int(said)
        except (TypeError, ValueError):
            return None


NOT_COUNTED = Counted()


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberedPages:
    """``page=1&per_page=100``. Ends by the count, or else at an empty page.

    A short page ends it too where ``short_ends``: not every provider fills its pages.
    """

    size: int
    page_param: str = "page"
    size_param: str | None = "per_page"
    start: int = 1
    total: Counted = NOT_COUNTED
    short_ends: bool = True
    shifts: bool = True

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        sized = {self.size_param: self.size} if self.size_param else {}
        return call.put({**sized, self.page_param: self.start})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        number = int(page.call.param(self.page_param) or self.start)
        last = self._last(page)
        if last is not None:
            return self._call(page, number + 1) if number < last and page.records else None
        if not page.records or (self.short_ends and len(page.records) < self.size):
            return None
        return self._call(page, number + 1)

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        last = self._last(page)
        if last is None:
            return ()
        return [self._call(page, number) for number in range(self.start + 1, last + 1)]

    def _call(self, page: Page, number: int) -> Call:
        return page.call.put({self.page_param: number})

    def _last(self, page: Page) -> int | None:
        found = self.total.read(page)
        if found is None:
            return None
        pages = found if self.total.pages else -(-found // self.size)
        return self.start + pages - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetPages:
    """``offset=0&limit=100``. Goes on by what really came: a server may give fewer than asked."""

    size: int
    offset_param: str = "offset"
    size_param: str = "limit"
    start: int = 0
    total: Counted = NOT_COUNTED
    short_ends: bool = True
    shifts: bool = True

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        return call.put({self.size_param: self.size, self.offset_param: self.start})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        at = int(page.call.param(self.offset_param) or self.start)
        after = at + len(page.records)
        total = self.total.read(page)
        if not page.records:
            return None
        if total is not None and after >= self.start + total:
            return None
        if total is None and self.short_ends and len(page.records) < self.size:
            return None
        return page.call.put({self.offset_param: after})

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`; none where the first page is not full: the server gives fewer."""
        total = self.total.read(page)
        if total is None or len(page.records) != self.size:
            return ()
        starts = range(self.start + self.size, self.start + total, self.size)
        return [page.call.put({self.offset_param: start}) for start in starts]


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorPages:
    """The body (or a header) gives the cursor of the next page, sent back in a parameter.

    ``more`` is where the body says whether there is a next page, if it does.
    """

    param: str
    cursor: str
    in_header: bool = False
    more: str | None = None
    size: int | None = None
    size_param: str = "limit"
    shifts: bool = False

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        return call if self.size is None else call.put({self.size_param: self.size})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        if self.more is not None and not find(page.body, self.more):
            return None
        if self.in_header:
            said: Any = page.answer.headers.get(self.cursor.lower())
        else:
            said = find(page.body, self.cursor)
        if said is None or said == "" or isinstance(said, bool):
            return None
        return page.call.put({self.param: said})

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedPages:
    """``Link: <...>; rel="next"`` (RFC 8288), or the next URL somewhere in the body."""

    path: str | None = None
    size: int | None = None
    size_param: str = "per_page"
    shifts: bool = False

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        return call if self.size is None else call.put({self.size_param: self.size})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`; the client follows it to the same origin only."""
        found = self._found(page)
        if found is None:
            return None
        return Call(
            path=urljoin(page.answer.url, found), headers=page.call.headers, bucket=page.call.bucket
        )

    def _found(self, page: Page) -> str | None:
        if self.path is None:
            return next_link(page.answer.headers.get("link", ""))
        said = find(page.body, self.path)
        return said if isinstance(said, str) and said else None

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysetPages:
    """The next page begins after the last record of this one: ``since_id``, ``starting_after``.

    ``key`` is the record's field; it must order the list. Nothing is lost when the list
    changes meanwhile.
    """

    param: str
    key: str
    size: int
    size_param: str = "limit"
    more: str | None = None
    short_ends: bool = True
    shifts: bool = False

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        return call.put({self.size_param: self.size})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        if not page.records:
            return None
        if self.more is not None:
            if not find(page.body, self.more):
                return None
        elif self.short_ends and len(page.records) < self.size:
            return None
        last = find(page.records[-1], self.key)
        if last is None:
            raise ConfigError(
                f"the key {self.key!r} of the last record is missing: {self.param} "
                "cannot go on from it"
            )
        return page.call.put({self.param: last})

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        return ()


def next_link(header: str) -> str | None:
    """The target of the link with relation ``next``."""
    for found in _LINK.finditer(header):
        if _NEXT.search(found[2]):
            return found[1]
    return None
