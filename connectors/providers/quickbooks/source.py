"""QuickBooks as a source: objects by query, deleted ones by change data capture.

Laws:

* What changed comes by query: it has no end of 30 days, and none of 1,000 objects.
* What was deleted is told by change data capture alone. Where that does not reach, the
  read goes on, and a rejection says from when to when deletes are unknown.
* The position of a list of deletes is a time of QuickBooks' own clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.contract import (
    Batch,
    Encoding,
    Rejection,
    Selection,
    Source,
    State,
    Stream,
    SyncMode,
)
from connectors.described import schema_of
from connectors.errors import ConfigError
from connectors.http.outside import Outside
from connectors.providers.quickbooks.company import api_of
from connectors.providers.quickbooks.config import QuickBooksConfig
from connectors.providers.quickbooks.streams import DELETABLE, ENTITIES, LAG, MOST, is_deleted
from connectors.rest.columns import Column, Kind, build
from connectors.rest.records import Record, find
from connectors.rest.source import RestSource
from connectors.rest.spec import StreamSpec
from connectors.surroundings import Surroundings

REACH = timedelta(days=30) - timedelta(minutes=10)
"""How far back change data capture looks, with a margin for clocks that differ."""

STATE_VERSION = 1
PREFIX = "deleted_"
COLUMNS = (
    Column(name="id", path="Id"),
    Column(name="deleted_at", kind=Kind.TIMESTAMP, path="MetaData.LastUpdatedTime"),
)
NOTE = "known for 30 days, and among 1,000 changes; upsert it into the table of the objects"


def open_source(config: QuickBooksConfig) -> Source:
    """A source on this configuration; nothing is connected to yet."""
    return QuickBooksSource(config=config)


@dataclass(slots=True, kw_only=True)
class QuickBooksSource:
    """See `connectors.contract.Source`. ``specs`` and ``outside`` are what a test replaces."""

    config: QuickBooksConfig
    specs: tuple[StreamSpec, ...] | None = None
    outside: Outside = field(default_factory=Outside)
    _surroundings: Surroundings = field(default_factory=Surroundings, init=False)
    _opened: RestSource | None = field(default=None, init=False, repr=False)

    def surround(self, surroundings: Surroundings) -> None:
        """See `Surrounded.surround`."""
        self._surroundings = surroundings

    @property
    def _rest(self) -> RestSource:
        if self._opened is None:
            api = api_of(self.config, self._surroundings, self.specs)
            self._opened = RestSource(api=api, outside=self.outside)
            self._opened.surround(self._surroundings)
        return self._opened

    def check(self) -> str:
        """Ask for the company."""
        return self._rest.check()

    def discover(self) -> Sequence[Stream]:
        """Every stream, ordered by name."""
        deleted = [_stream(f"{PREFIX}{name}") for name in self._deletable()]
        return sorted([*self._rest.discover(), *deleted], key=lambda stream: stream.name)

    def stream(self, name: str) -> Stream:
        """One stream."""
        if name.removeprefix(PREFIX) in self._deletable() and name.startswith(PREFIX):
            return _stream(name)
        return self._rest.stream(name)

    def _deletable(self) -> Sequence[str]:
        return DELETABLE if self.specs is None else ()

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records after ``state``."""
        name = selection.stream.name
        if not name.startswith(PREFIX):
            yield from self._rest.read(selection, state, encoding)
            return
        if selection.window is not None or selection.row_filter is not None:
            raise ConfigError(f"stream {name!r} takes no window and no row_filter")
        yield from self._deletes(selection, state, ENTITIES[name.removeprefix(PREFIX)])

    def _deletes(self, selection: Selection, state: State | None, entity: str) -> Iterator[Batch]:
        client = self._rest.client
        started = self.outside.now()
        earliest = client.their_time(started) - REACH
        before = _position(state) if selection.mode is SyncMode.INCREMENTAL else None
        since = earliest if before is None else max(earliest, before - LAG - selection.lag)
        body = client.get(
            "cdc",
            entities=entity,
            changedSince=_spelled(since),
            minorversion=self.config.minor_version,
        ).json()
        changed = _objects(body, entity)
        rejected = []
        if before is not None and before < earliest:
            rejected.append(_unknown(entity, before, earliest, "it looks back 30 days only"))
        if len(changed) >= MOST:
            reason = f"more than {MOST:,} objects changed, and it tells of no more at once"
            rejected.append(_unknown(entity, since, started, reason))
        names = selection.stream.schema.names
        columns = [column for column in COLUMNS if column.name in names]
        built = build([one for one in changed if is_deleted(one)], columns, ("id",))
        reached = max(filter(None, (before, _told(body, started))))
        for start in range(0, built.data.num_rows, selection.batch_rows):
            yield Batch(data=built.data.slice(start, selection.batch_rows))
        yield Batch(
            data=built.data.slice(0, 0),
            state=State(version=STATE_VERSION, value={"watermark": reached.isoformat()}),
            rejected=(*built.rejected, *rejected),
        )

    def interrupt(self) -> None:
        """Make a read that waits in another thread end in an error."""
        if self._opened is not None:
            self._opened.interrupt()

    def close(self) -> None:
        """Release connections."""
        if self._opened is not None:
            self._opened.close()


def _stream(name: str) -> Stream:
    return Stream(
        name=name,
        schema=schema_of(column.field for column in COLUMNS),
        primary_key=("id",),
        cursor_field="deleted_at",
        note=NOTE,
    )


def _objects(body: Any, entity: str) -> Sequence[Record]:
    answers = find(body, "CDCResponse.0.QueryResponse") or ()
    return [one for answer in answers for one in answer.get(entity, ())]


def _position(state: State | None) -> datetime | None:
    """Where to go on; None, which reads all that is known, for a state that cannot be read."""
    if state is None or state.version != STATE_VERSION or state.watermark is None:
        return None
    try:
        found = datetime.fromisoformat(state.watermark)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def _told(body: Any, started: datetime) -> datetime:
    """QuickBooks' time of the answer, but never later than ours when it was asked for."""
    try:
        said = datetime.fromisoformat(str(find(body, "time")))
    except ValueError:
        return started
    return min(said, started) if said.tzinfo is not None else started


def _spelled(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _unknown(entity: str, start: datetime, end: datetime, reason: str) -> Rejection:
    since, until = (_spelled(moment) for moment in (start, end))
    return Rejection(
        key=f"{entity} {since}/{until}",
        reason=(
            f"QuickBooks does not tell every deleted {entity} of that time: {reason}. Read the "
            "objects once in full with deletes: soft, and run this stream more often"
        ),
    )
