"""One read of one stream: what it asks for, its batches, and the state after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from connectors.contract import Batch, Selection, State, SyncMode
from connectors.errors import ConfigError
from connectors.http.client import HttpClient
from connectors.late import pa, pc
from connectors.rest.asking import Asking
from connectors.rest.columns import Built, Column, build, values_of
from connectors.rest.marks import Marks, cursor_kind, kept_since
from connectors.rest.met import Met
from connectors.rest.records import Record
from connectors.rest.spec import StreamSpec
from connectors.sql import cursor as cursors
from connectors.sql.cursor import STATE_VERSION, TEMPORAL, Kind, Mark

log = structlog.get_logger()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH_RECORDS = 1_000
"""Decoded records are large, so that fewer are kept than a batch may have."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """One read. ``known`` gives a stream's columns."""

    client: HttpClient
    specs: Mapping[str, StreamSpec]
    spec: StreamSpec
    selection: Selection
    known: Callable[[str], Sequence[Column]]
    _columns: Sequence[Column] = ()
    _key: Sequence[Column] = ()
    _kind: Kind | None = None
    _started_at: datetime = field(init=False)
    _since: Mark | None = None
    _end: Mark | None = None
    _before: Mark | None = None
    _reached: Mark | None = None
    _risen: Mark | None = None
    _delivered: Met = field(default_factory=Met)

    def batches(self, state: State | None) -> Iterator[Batch]:
        """The records, and with the last of them the state."""
        self._begin(state)
        size = min(self.selection.batch_rows, BATCH_RECORDS)
        waiting: list[Record] = []
        was_rising = True
        for part in self._asking().parts(self.spec):
            if part.rises and not was_rising:
                # What came before is not in the order in which it goes on.
                yield from self._batches(waiting, size)
                waiting, self._risen = [], None
            was_rising = part.rises
            waiting.extend(self._first_time(part.records))
            whole = (len(waiting) - 1) // size * size
            if whole > 0:
                yield from self._batches(waiting[:whole], size, tells=part.rises)
                waiting = waiting[whole:]
        last = self._batch(waiting)
        yield Batch(data=last.data, state=self._final(state), rejected=last.rejected)

    # Before the first call

    def _begin(self, state: State | None) -> None:
        self._started_at = self.client.outside.now()
        names = {column.name: column for column in self.known(self.spec.name)}
        self._columns = [names[name] for name in self.selection.stream.schema.names]
        self._key = [names.get(name, Column(name=name)) for name in self.spec.primary_key]
        cursor = self.selection.stream.cursor_field
        if cursor is None:
            return
        self._kind = cursor_kind(self.spec.name, names[cursor])
        window = self.selection.window
        if window is not None:
            self._since, self._end = self._parsed(window.start), self._parsed(window.end)
            return
        self._reached = self._before = self._prior(self._kind, state)
        if self._before is not None:
            lag = self.spec.incremental.lag if self.spec.incremental else timedelta(0)
            self._since = self._before.before(self.selection.lag + lag)

    def _parsed(self, text: str | None) -> Mark | None:
        if text is None or self._kind is None:
            return None
        try:
            return Mark.parse(self._kind, text)
        except ValueError as error:
            raise ConfigError(f"stream {self.spec.name!r}: the window's {error}") from error

    def _prior(self, kind: Kind, state: State | None) -> Mark | None:
        """The watermark to continue from; an unreadable one costs a read from the beginning."""
        if self.selection.mode is not SyncMode.INCREMENTAL:
            return None
        try:
            return cursors.marked(state, kind)
        except ValueError as error:
            log.warning("state.unreadable", stream=self.spec.name, reason=str(error))
            return None

    def _asking(self) -> Asking:
        return Asking(
            client=self.client,
            specs=self.specs,
            marks=Marks({name: self._cursor_of(one) for name, one in self._chain().items()}),
            keyed=bool(self.selection.stream.primary_key),
            since=self._since,
            until=self._until(),
            row_filter=self.selection.row_filter,
        )

    def _chain(self) -> Mapping[str, StreamSpec]:
        """The stream and those it hangs from."""
        chain = {self.spec.name: self.spec}
        spec = self.spec
        while spec.parent is not None:
            spec = self.specs[spec.parent.stream]
            chain[spec.name] = spec
        return chain

    def _cursor_of(self, spec: StreamSpec) -> Column | None:
        name = spec.cursor_field
        if spec.name == self.spec.name:
            name = self.selection.stream.cursor_field
        if name is None:
            return None
        return next((one for one in self.known(spec.name) if one.name == name), None)

    def _until(self) -> Mark | None:
        """The upper bound: a window's end, or the time at which this read began."""
        if self._end is not None or self.selection.window is not None:
            return self._end
        if self._kind is None or self.selection.mode is SyncMode.FULL:
            return None
        return self._now()

    def _now(self) -> Mark | None:
        """The provider's time when this read began, as far as it has told; never later.

        What it changes after that may be on a page that was read already, while a still
        later change is met: the watermark must not pass over the first one.
        """
        if self._kind is None or self._kind not in TEMPORAL:
            return None
        moment = self.client.their_time(self._started_at)
        for asked in (spec.incremental for spec in self._chain().values()):
            if asked is not None and asked.exclusive:
                # A clock of whole steps: within one, what is later looks as if it were earlier.
                moment -= (moment - _EPOCH) % asked.resolution
        return cursors.ceiling(self._kind, moment)

    # Records

    def _first_time(self, records: Sequence[Record]) -> Sequence[Record]:
        """In a full read: the records that have not come yet, in a list that was read again."""
        again = any(spec.pages.shifts for spec in self._chain().values())
        if self.selection.mode is not SyncMode.FULL or not again or not self._key:
            return records
        keys = list(zip(*(values_of(records, column) for column in self._key), strict=True))
        # Not the hash of the key itself: that of -1 is that of -2.
        marks = [hash(repr(key)) for key in keys if None not in key]
        fresh = iter(self._delivered.first_time(marks))
        return [one for one, key in zip(records, keys, strict=True) if None in key or next(fresh)]

    def _batches(
        self, records: Sequence[Record], size: int, *, tells: bool = False
    ) -> Iterator[Batch]:
        keyed = bool(self.selection.stream.primary_key)
        steps = tells and keyed and self.selection.mode is SyncMode.INCREMENTAL
        for start in range(0, len(records), size):
            batch = self._batch(records[start : start + size])
            state = self._state(self._risen) if steps else None
            if batch.data.num_rows or batch.rejected or state is not None:
                yield Batch(data=batch.data, state=state, rejected=batch.rejected)

    def _batch(self, records: Sequence[Record]) -> Built:
        built = build(records, self._columns, self.selection.stream.primary_key)
        cursor = self.selection.stream.cursor_field
        if cursor is None or self._kind is None:
            return built
        data = self._bounded(built.data, cursor)
        seen = cursors.greatest(self._kind, data.column(cursor), self._now())
        self._reached = _later(self._reached, seen)
        self._risen = _later(self._risen, seen)
        return Built(data=data, kept=built.kept, rejected=built.rejected)

    def _bounded(self, data: Any, cursor: str) -> Any:
        """What is neither too old nor beyond the window."""
        if self._since is not None:
            data = data.filter(kept_since(data.column(cursor), self._since))
        if self.selection.window is not None:
            # In a window every record has its place: one without a cursor has none.
            data = data.filter(pc.is_valid(data.column(cursor)))
        if self._end is not None:
            values = data.column(cursor)
            data = data.filter(pc.less(values, pa.scalar(self._end.value, values.type)))
        return data

    # States

    def _state(self, reached: Mark | None) -> State | None:
        if self._kind is None or self.selection.window is not None:
            return None
        mark = _later(self._before, reached)
        return None if mark is None else mark.state()

    def _final(self, state: State | None) -> State | None:
        """The state after everything; a full read that found nothing takes the old one back."""
        told = self._state(self._reached)
        if told is not None or self._kind is None or self.selection.window is not None:
            return told
        fresh = state is not None and self.selection.mode is SyncMode.FULL
        return State(version=STATE_VERSION, value={}) if fresh else None


def _later(one: Mark | None, other: Mark | None) -> Mark | None:
    return other if one is None else one.or_later(other)
