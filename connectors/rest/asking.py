"""From which call to which records: lists, nested lists, and lists that change meanwhile.

Law: a record that was there when the reading began, and was not changed since, is handed
over. What changes a list of numbered pages while it is read may move a record to a page
that was read already; so such a list is found steady afterwards, or it is read on from
the last cursor instead of the next page, or it is read again.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, quote

import structlog

from connectors.errors import ConfigError, TransientError
from connectors.http.call import Call, encoded
from connectors.http.client import HttpClient
from connectors.rest.marks import Marks, edge
from connectors.rest.pages import Page
from connectors.rest.records import Record, find
from connectors.rest.spec import Parent, StreamSpec
from connectors.rest.walk import Walk, in_order
from connectors.sql.cursor import Mark

log = structlog.get_logger()

PASSES = 4
"""How often a list that changes while it is read is read in all."""

_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Part:
    """Records as they come. ``rises``: nothing that is still to come has a lower cursor."""

    records: Sequence[Record]
    rises: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is asked of a provider in one read.

    Not ``keyed``: a record that comes twice could not be told from two.
    """

    client: HttpClient
    specs: Mapping[str, StreamSpec]
    marks: Marks
    keyed: bool = True
    since: Mark | None = None
    until: Mark | None = None
    row_filter: str | None = None

    def parts(self, spec: StreamSpec) -> Generator[Part, None, None]:
        """The records of a stream, as its columns are found in them."""
        found = self._list(spec) if spec.parent is None else self._children(spec, spec.parent)
        if spec.edit is None:
            yield from found
            return
        for part in found:
            yield Part([spec.edit(record) for record in part.records], part.rises)

    # Lists

    def _list(self, spec: StreamSpec) -> Iterator[Part]:
        rising = spec.incremental is not None and spec.incremental.ordered
        walk = Walk(self.client, spec)
        first = walk.first(self._call(spec, self.since))
        advances = rising and self._can_advance(spec)
        if advances and not spec.pages.ahead(first):
            yield from self._advancing(spec, walk, first)
            return
        rises = rising and not spec.pages.shifts
        yield self._part(spec, first, rises=rises)
        for page in walk.rest(first):
            yield self._part(spec, page, rises=rises)
        for number in range(1, PASSES + 1):
            if walk.is_steady():
                return
            log.info("list.shifted", stream=spec.name, passes=number)
            if number == PASSES or not self.keyed:
                break
            walk = Walk(self.client, spec)
            call = self._call(spec, self.since)
            if advances:
                yield from self._advancing(spec, walk, walk.first(call))
                return
            for page in walk.pages(call):
                yield self._part(spec, page, rises=False)
        raise _restless(spec)

    def _can_advance(self, spec: StreamSpec) -> bool:
        asks = spec.incremental is not None and spec.incremental.param is not None
        return asks and spec.pages.shifts and self.keyed and bool(spec.primary_key)

    def _advancing(self, spec: StreamSpec, walk: Walk, page: Page) -> Iterator[Part]:
        """Read on from the last cursor: what changes goes to the end, and is met there.

        Only where a whole page shares one cursor is the next page asked for. The edge comes
        again with each call; what has been met there is left out.
        """
        mark = self.since
        met: dict[int, Any] = {}
        passes = 1
        while True:
            self._check_order(spec, page)
            after = spec.pages.next(page)
            reached = self.marks.last(spec, page.records)
            moves = reached is not None and (mark is None or reached.order > mark.order)
            if (moves or after is None) and not walk.is_steady():
                # Pages of one cursor value are places in a list again.
                passes += 1
                if passes > PASSES:
                    raise _restless(spec)
                walk = Walk(self.client, spec)
                page = walk.first(self._call(spec, mark))
                continue
            cursors = self.marks.values(spec, page.records)
            marked = [hash(encoded(record)) for record in page.records]
            yield Part(
                [one for one, m in zip(page.records, marked, strict=True) if m not in met], True
            )
            if after is None:
                return
            met.update(zip(marked, cursors, strict=True))
            if moves and reached is not None:
                mark, passes = reached, 1
                met = {one: at for one, at in met.items() if at is None or at >= edge(spec, mark)}
                walk = Walk(self.client, spec)
                page = walk.first(self._call(spec, mark))
            else:
                page = walk.following(after)

    def _part(self, spec: StreamSpec, page: Page, *, rises: bool) -> Part:
        if rises:
            self._check_order(spec, page)
        return Part(page.records, rises)

    def _check_order(self, spec: StreamSpec, page: Page) -> None:
        if not self.marks.rise(spec, page.records):
            raise ConfigError(
                f"stream {spec.name!r} is said to be ordered by {spec.cursor_field!r}, and a "
                "page of it is not; name the parameters that order it, or say ordered: false"
            )

    def _call(self, spec: StreamSpec, since: Mark | None) -> Call:
        call = Call(path=spec.path, headers=spec.headers, bucket=spec.bucket).put(spec.params)
        if self.row_filter is not None:
            wanted = parse_qsl(self.row_filter, keep_blank_values=True)
            if not wanted:
                raise ConfigError(
                    f"row_filter {self.row_filter!r} is no query; write it as status=paid&shop=7"
                )
            call = call.put(dict(wanted))
        return call if spec.incremental is None else spec.incremental.asked(call, since, self.until)

    # Nested lists

    def _children(self, spec: StreamSpec, parent: Parent) -> Iterator[Part]:
        above = self.specs[parent.stream]
        for part in replace(self, row_filter=None).parts(above):
            wanted = [
                record
                for record in self.marks.since(above, part.records, self.since)
                if parent.having is None or find(record, parent.having)
            ]
            found = in_order(
                lambda record: self._below(spec, parent, record),
                wanted,
                most=self.client.limits.concurrency,
            )
            for records in found:
                yield Part(records, part.rises)

    def _below(self, spec: StreamSpec, parent: Parent, record: Record) -> Sequence[Record]:
        copied = {name: find(record, path) for name, path in parent.copy.items()}
        if parent.inside is not None:
            inner = find(record, parent.inside) or ()
            return [{**one, **copied} for one in inner if isinstance(one, Mapping)]
        of_this = replace(spec, path=filled(spec.path, record))
        for _ in range(PASSES):
            walk = Walk(self.client, of_this)
            call = self._call(replace(of_this, incremental=None), None)
            records = [{**one, **copied} for page in walk.pages(call) for one in page.records]
            if walk.is_steady():
                return records
        raise _restless(spec)


def _restless(spec: StreamSpec) -> TransientError:
    return TransientError(
        f"stream {spec.name!r} changed while its pages were read, so records may have "
        "slipped between them; it is read again later. A list that always changes needs "
        "pages by cursor or key, or an order by its cursor field"
    )


def filled(path: str, record: Record) -> str:
    """A path with its places filled from a record; a slash in a value stays in its place."""

    def value(place: re.Match[str]) -> str:
        found = find(record, place[1])
        if found is None or isinstance(found, Mapping | list):
            raise ConfigError(f"path {path!r}: the parent's records have no {place[1]!r}")
        return quote(str(found), safe="")

    return _PLACE.sub(value, path)
