"""Reads Stripe: everything there is, and then what its events say has changed.

Stripe's lists know when an object was created, not when it changed; its events know both,
for 30 days. So an object's first read is from its list, and from then on each object that
an event speaks of is fetched again, as it is now.

Laws:

* Before a list is read the time is noted, and events are asked for from then on: what
  changes while the list is read is met again.
* A state older than the events that Stripe keeps means reading the list again.
* ``as_of`` is the time of the event, or when the list began to be read; of two versions
  the one with the later ``as_of`` is newer.
* What was deleted comes with ``deleted`` set, as it was before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

import structlog

from connectors.contract import Batch, Encoding, Selection, State, Stream, SyncMode
from connectors.errors import ConfigError, ContractError
from connectors.http.addresses import Resolve, system_resolve
from connectors.http.call import Call
from connectors.http.client import HttpClient
from connectors.http.outside import Outside
from connectors.providers.stripe import AS_OF, DELETED, GoneError
from connectors.rest.columns import Column, build
from connectors.rest.records import Record
from connectors.rest.source import RestSource
from connectors.rest.spec import Api, StreamSpec
from connectors.rest.walk import Walk, in_order
from connectors.surroundings import Surroundings

log = structlog.get_logger()

STATE_VERSION = 1
KEPT = timedelta(days=29)
"""For how long events are relied on: a day less than Stripe keeps them."""

BATCH_RECORDS = 1_000
OF = {
    "charges": ("charge", "charge.*"),
    "customers": ("customer", "customer.*"),
    "invoices": ("invoice", "invoice.*"),
    "subscriptions": ("subscription", "customer.subscription.*"),
    "payouts": ("payout", "payout.*"),
}
"""By stream: what its objects are called, and which events speak of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What has been read: everything up to ``reached``, seconds since 1970.

    Before that is true, ``below`` says how far down the list has been read: objects
    created at that time or earlier are still to come.
    """

    reached: int
    below: int | None = None

    def state(self) -> State:
        """As a source's state."""
        mark = datetime.fromtimestamp(self.reached, UTC).isoformat()
        value: dict[str, str | int] = {"watermark": mark}
        return State(
            version=STATE_VERSION,
            value=value if self.below is None else {**value, "below": self.below},
        )


def position_of(state: State | None, now: datetime) -> Position | None:
    """What a state tells; None when the list must be read from its beginning."""
    if state is None or not state.value:
        return None
    try:
        if state.version != STATE_VERSION:
            raise ValueError(f"version {state.version} is not {STATE_VERSION}")
        moment = datetime.fromisoformat(str(state.value.get("watermark")))
        if moment.tzinfo is None:
            raise ValueError("its watermark has no zone")
        below = state.value.get("below")
        if below is not None and not isinstance(below, int):
            raise ValueError("it does not say how far the list was read")
    except ValueError as error:
        log.warning("state.unreadable", reason=str(error))
        return None
    found = Position(reached=int(moment.timestamp()), below=below)
    if now - moment > KEPT:
        log.warning("state.outlived", kept_days=KEPT.days, watermark=state.watermark)
        return None
    return found


@dataclass(slots=True, kw_only=True)
class StripeSource:
    """One account. ``late`` is gone back at each read of events, ``outside`` for tests."""

    api: Api
    late: timedelta = timedelta(0)
    outside: Outside = field(default_factory=Outside)
    resolve: Resolve = system_resolve
    _rest: RestSource = field(init=False)

    def __post_init__(self) -> None:
        self._rest = RestSource(api=self.api, outside=self.outside, resolve=self.resolve)

    def surround(self, surroundings: Surroundings) -> None:
        """See `Surrounded.surround`."""
        self._rest.surround(surroundings)

    def check(self) -> str:
        """Ask for one page of charges."""
        return self._rest.check()

    def discover(self) -> Sequence[Stream]:
        """Every stream, ordered by name."""
        return [_changing(one) for one in self._rest.discover()]

    def stream(self, name: str) -> Stream:
        """One stream."""
        return _changing(self._rest.stream(name))

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records after ``state``; a window is one of times at which they were created."""
        if selection.stream.name not in OF:
            yield from self._rest.read(selection, state, encoding)
            return
        if encoding is not Encoding.ARROW:
            raise ContractError(f"this source does not speak {encoding}")
        if selection.row_filter is not None:
            raise ConfigError(
                "row_filter: Stripe's changes come as events, which cannot be filtered; leave "
                "it out, and choose among the records at the destination"
            )
        [spec] = (one for one in self.api.streams if one.name == selection.stream.name)
        reading = Reading(client=self._rest.client, spec=spec, selection=selection)
        yield from reading.batches(state, self.late)

    def interrupt(self) -> None:
        """Make a read that waits in another thread end in an error."""
        self._rest.interrupt()

    def close(self) -> None:
        """Release connections."""
        self._rest.close()


def _changing(stream: Stream) -> Stream:
    if stream.name not in OF:
        return stream
    return replace(stream, cursor_field=AS_OF, ordered=True, modes=frozenset(SyncMode))


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What events say of one object: when it last changed, and what it was when it ended."""

    id: str
    at: int
    last: Record | None = None


@dataclass(slots=True, kw_only=True)
class Reading:
    """One read of one stream whose objects change."""

    client: HttpClient
    spec: StreamSpec
    selection: Selection
    _started_at: datetime = field(init=False)

    def batches(self, state: State | None, late: timedelta) -> Iterator[Batch]:
        """The records, and with the last of them the state."""
        self._started_at = self.client.outside.now()
        incremental = self.selection.mode is SyncMode.INCREMENTAL and not self.selection.window
        known = position_of(state, self._started_at) if incremental else None
        if known is not None and known.below is None:
            yield from self._changes(known, late)
        else:
            yield from self._list(known)
        if known is not None and known.below is not None:
            # The list was begun by an earlier read: events tell what has changed since.
            yield from self._changes(Position(reached=known.reached), late)

    def _begun(self) -> int:
        """Stripe's time when this read began, once an answer has shown its clock."""
        return int(self.client.their_time(self._started_at).timestamp())

    @property
    def _size(self) -> int:
        return min(self.selection.batch_rows, BATCH_RECORDS)

    @property
    def _steps(self) -> bool:
        """Whether the state may move on the way."""
        keyed = bool(self.selection.stream.primary_key)
        incremental = self.selection.mode is SyncMode.INCREMENTAL
        return keyed and incremental and self.selection.window is None

    # The list, newest first

    def _list(self, known: Position | None) -> Iterator[Batch]:
        waiting: list[Record] = []
        call = Call(path=self.spec.path).put({**self.spec.params, **self._bounds(known)})
        walk = Walk(self.client, self.spec)
        first = walk.first(call)
        reached = self._begun() if known is None else known.reached
        for page in chain([first], walk.rest(first)):
            waiting.extend({**one, AS_OF: reached, DELETED: False} for one in page.records)
            while len(waiting) > self._size:
                batch, waiting = waiting[: self._size], waiting[self._size :]
                below = int(batch[-1]["created"])
                state = Position(reached=reached, below=below).state() if self._steps else None
                yield self._batch(batch, state)
        whole = None if self.selection.window else Position(reached=reached).state()
        yield self._batch(waiting, whole)

    def _bounds(self, known: Position | None) -> Mapping[str, object]:
        if known is not None:
            return {"created[lte]": known.below}
        window = self.selection.window
        if window is None:
            return {}
        bounds = {"created[gte]": window.start, "created[lt]": window.end}
        return {name: _epoch(text) for name, text in bounds.items() if text is not None}

    # The events, as what they speak of

    def _changes(self, known: Position, late: timedelta) -> Iterator[Batch]:
        back = (late + self.selection.lag).total_seconds()
        since = known.reached - int(-(-back // 1))
        told = self._told(since)
        reached = known.reached
        waiting: list[Record] = []
        fetched = in_order(self._fetched, told, most=self.client.limits.concurrency)
        for record in filter(None, fetched):
            if len(waiting) == self._size:
                reached = max(reached, self._reached(waiting))
                state = Position(reached=reached).state() if self._steps else None
                yield self._batch(waiting, state)
                waiting = []
            waiting.append(record)
        reached = max(reached, self._reached(waiting))
        yield self._batch(waiting, Position(reached=reached).state())

    def _reached(self, records: Sequence[Record]) -> int:
        """The time of the last event, but never later than Stripe's clock at the beginning."""
        return min(self._begun(), max((int(one[AS_OF]) for one in records), default=0))

    def _told(self, since: int) -> Sequence[Told]:
        """What changed, in the order of the last change; events come newest first."""
        kind, types = OF[self.spec.name]
        walk = Walk(self.client, replace(self.spec, name="events", path="events"))
        found: dict[str, Told] = {}
        for page in walk.pages(Call(path="events").put({"type": types, "created[gte]": since})):
            for event in page.records:
                thing = event["data"]["object"]
                itself = thing.get("object") == kind
                identity = thing.get("id") if itself else thing.get(kind)
                if not isinstance(identity, str):
                    continue
                told = found.setdefault(identity, Told(id=identity, at=int(event["created"])))
                if itself and told.last is None and event["type"] == f"{types[:-1]}deleted":
                    found[identity] = replace(told, last=thing)
        return sorted(found.values(), key=lambda one: one.at)

    def _fetched(self, told: Told) -> Record | None:
        """An object as it is now; one that is gone as the event of its end showed it.

        None where it is gone and that event has not come yet: it will.
        """
        try:
            call = Call(path=f"{self.spec.path}/{told.id}")
            found = self.client.fetch(call, lambda answer: answer.json())
        except GoneError:
            found = None
        if found is not None and not found.get("deleted"):
            return {**found, AS_OF: told.at, DELETED: False}
        return None if told.last is None else {**told.last, AS_OF: told.at, DELETED: True}

    # Batches

    def _batch(self, records: Sequence[Record], state: State | None) -> Batch:
        wanted = {column.name: column for column in self.spec.columns or ()}
        columns: list[Column] = [wanted[name] for name in self.selection.stream.schema.names]
        built = build(records, columns, self.selection.stream.primary_key)
        return Batch(data=built.data, state=state, rejected=built.rejected)


def _epoch(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"the window's {text!r} is no time; write it like 2026-01-31T12:00:00+00:00"
        ) from error
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return -int(-aware.timestamp() // 1)
