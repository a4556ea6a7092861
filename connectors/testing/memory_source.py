"""A source on plain Python data: the contract's reading side in its smallest form."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from typing import Any, TypeAlias

import pyarrow as pa
import structlog

from connectors.contract import Batch, Encoding, Selection, State, Stream, SyncMode
from connectors.described import arrow_schema, schema_of
from connectors.errors import ConfigError, ContractError
from connectors.payload import rejection
from connectors.testing.faults import Point, Script

log = structlog.get_logger()

Record: TypeAlias = Mapping[str, Any]

STATE_VERSION = 1


def system_time() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class MemoryStream:
    """A stream and its records; change ``records`` as another program would.

    Where the stream tells deletes, ``gone`` are the keys of what is no more.
    """

    stream: Stream
    records: list[Record] = field(default_factory=list)
    gone: list[Record] = field(default_factory=list)

    def put(self, *records: Record) -> None:
        """Add records; one whose key is there already takes the old one's place."""
        key = self.stream.primary_key
        for record in records:
            if key:
                self.records = _without(self.records, record, key)
                self.gone = _without(self.gone, record, key)
            self.records.append(dict(record))

    def delete(self, *keys: Record) -> None:
        """Remove the records of these keys, and remember them."""
        for one in keys:
            self.records = _without(self.records, one, self.stream.primary_key)
            self.gone.append(dict(one))


@dataclass(slots=True)
class MemorySource:
    """Serves `MemoryStream`s.

    A ``row_filter`` is spelled ``column=value``. The state's ``watermark`` is the
    greatest cursor value in ISO or decimal spelling, never beyond ``clock``.
    """

    streams: Sequence[MemoryStream]
    script: Script = field(default_factory=Script)
    clock: Callable[[], datetime] = system_time

    def check(self) -> str:
        """See `Source.check`."""
        return f"{len(self.streams)} streams in memory"

    def discover(self) -> Sequence[Stream]:
        """See `Source.discover`."""
        return sorted((held.stream for held in self.streams), key=lambda stream: stream.name)

    def stream(self, name: str) -> Stream:
        """See `Source.stream`."""
        return self._held(name).stream

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """See `Source.encodings`."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """See `Source.read`."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"memory speaks Arrow only, and was asked for {encoding}")
        held = self._held(selection.stream.name)
        gone = tuple(held.gone) if held.stream.tells_deletes else ()
        reading = replace(_Reading.of(selection, state, now=self.clock()), gone=gone)
        found: list[Record] = [dict(record) for record in held.records]
        wanted = [record for record in found if reading.wants(record)]
        for batch in reading.batches(wanted):
            self.script.reach(Point.READ)
            yield batch

    def close(self) -> None:
        """See `Source.close`; there is nothing to release."""

    def _held(self, name: str) -> MemoryStream:
        known = {held.stream.name: held for held in self.streams}
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {sorted(known)}"
            raise ConfigError(f"there is no stream {name!r}; {hint}")
        return known[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """One read: which records it wants, and what is true after each batch."""

    selection: Selection
    before: Any
    """The state's watermark, as a value; None without a state."""
    ceiling: Any
    """The greatest watermark to claim; None where the cursor is no time."""
    gone: tuple[Record, ...] = ()

    @classmethod
    def of(cls, selection: Selection, state: State | None, *, now: datetime) -> "_Reading":
        cursor = selection.stream.cursor_field
        if cursor is None:
            return cls(selection=selection, before=None, ceiling=None)
        kind = selection.stream.schema.field(cursor).type
        if selection.lag and not pa.types.is_temporal(kind):
            raise ConfigError(f"cursor {cursor!r} is {kind}, which no lag of time can be taken off")
        return cls(selection=selection, before=_mark(state, kind), ceiling=_ceiling(kind, now))

    def wants(self, record: Record) -> bool:
        if not self._passes_filter(record):
            return False
        cursor = self.selection.stream.cursor_field
        if cursor is None:
            return True
        value, window = record.get(cursor), self.selection.window
        if window is not None:
            kind = self.selection.stream.schema.field(cursor).type
            after = window.start is None or (
                value is not None and value >= _read(window.start, kind)
            )
            until = window.end is None or (value is not None and value < _read(window.end, kind))
            return after and until
        if self.selection.mode is SyncMode.FULL or self.before is None or value is None:
            return True
        lag = self.selection.lag
        return bool(value >= (self.before - lag if lag else self.before))

    def _passes_filter(self, record: Record) -> bool:
        if self.selection.row_filter is None:
            return True
        column, _, value = self.selection.row_filter.partition("=")
        if column not in record:
            raise ConfigError(f"row_filter names {column!r}, which the stream does not have")
        return str(record[column]) == value

    def batches(self, records: list[Record]) -> Iterator[Batch]:
        stream = self.selection.stream
        paged = stream.ordered and self.selection.mode is SyncMode.INCREMENTAL
        if paged:
            records = sorted(records, key=self._order)
        for start, end in self._pages(records, paged=paged):
            is_last = end == len(records)
            batch = self._batch(records[start:end], self._state(records[:end], is_last or paged))
            yield replace(batch, deleted=self._gone()) if is_last and self.gone else batch

    def _gone(self) -> pa.Table:
        key, schema = self.selection.stream.primary_key, self.selection.stream.schema
        wanted = arrow_schema(schema_of(schema.field(name) for name in key))
        keys = [{name: one[name] for name in key} for one in self.gone]
        return pa.Table.from_pylist(keys, schema=wanted)

    def _pages(self, records: list[Record], *, paged: bool) -> Iterator[tuple[int, int]]:
        """Bounds of the batches, at least one. Without a key a page ends where a cursor ends."""
        start, cursor = 0, self.selection.stream.cursor_field
        whole = paged and not self.selection.stream.primary_key
        while True:
            end = min(start + self.selection.batch_rows, len(records))
            while whole and cursor and end < len(records):
                if records[end][cursor] != records[end - 1][cursor]:
                    break
                end += 1
            yield start, end
            if end == len(records):
                return
            start = end

    def _order(self, record: Record) -> tuple[Any, ...]:
        stream = self.selection.stream
        assert stream.cursor_field is not None
        value = record.get(stream.cursor_field)
        key = _values(record, stream.primary_key)
        return (0, key) if value is None else (1, value, key)

    def _state(self, done: list[Record], is_checkpoint: bool) -> State | None:
        cursor = self.selection.stream.cursor_field
        if cursor is None or not is_checkpoint or self.selection.window is not None:
            return None
        marks = [record[cursor] for record in done if record.get(cursor) is not None]
        greatest = max(marks, default=None)
        if greatest is not None and self.ceiling is not None:
            greatest = min(greatest, self.ceiling)
        known = [mark for mark in (greatest, self.before) if mark is not None]
        if not known:
            return None
        return State(version=STATE_VERSION, value={"watermark": _spelled(max(known))})

    def _batch(self, records: Sequence[Record], state: State | None) -> Batch:
        stream = self.selection.stream
        schema, key = arrow_schema(stream.schema), stream.primary_key
        fitting, rejected = [], []
        for record in records:
            chosen = {name: record.get(name) for name in schema.names}
            try:
                pa.Table.from_pylist([chosen], schema=schema)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                reason = f"a value does not fit its column ({type(error).__name__})"
                rejected.append(rejection(chosen, key, reason))
            else:
                fitting.append(chosen)
        data = pa.Table.from_pylist(fitting, schema=schema)
        return Batch(data=data, state=state, rejected=tuple(rejected))


def _without(records: list[Record], one: Record, key: Sequence[str]) -> list[Record]:
    return [record for record in records if _values(record, key) != _values(one, key)]


def _values(record: Record, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(record.get(name) for name in names)


def _spelled(value: Any) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def _read(text: str, kind: pa.DataType) -> Any:
    """The inverse of `_spelled`; ValueError for what it cannot have spelled."""
    if isinstance(kind, pa.TimestampType):
        moment = datetime.fromisoformat(text)
        if (moment.tzinfo is None) != (kind.tz is None):
            raise ValueError(f"{text!r} is not spelled as the cursor is")
        return moment
    if pa.types.is_date(kind):
        return date.fromisoformat(text)
    return int(text) if pa.types.is_integer(kind) else text


def _mark(state: State | None, kind: pa.DataType) -> Any:
    """The state's watermark as a value. What nobody understands counts as no state."""
    if state is None:
        return None
    if state.version == STATE_VERSION and state.watermark is not None:
        try:
            return _read(state.watermark, kind)
        except ValueError:
            pass
    log.warning("state.unreadable", version=state.version)
    return None


def _ceiling(kind: pa.DataType, now: datetime) -> Any:
    """The greatest watermark to claim: records dated in the future must not hide later ones."""
    tomorrow = now.astimezone(UTC) + timedelta(days=1)
    if isinstance(kind, pa.TimestampType):
        return now if kind.tz is not None else tomorrow.replace(tzinfo=None)
    return tomorrow.date() if pa.types.is_date(kind) else None
