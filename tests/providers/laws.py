"""Whatever changes, fails and dies in between, the next good run brings everything.

A world is a provider with its own records and its own clock, which moves only by changes and
waits. What it does in a test is drawn: changes, troubles at the n-th request, deaths.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from threading import RLock
from typing import Any, Protocol

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Destination, Encoding, Source, SyncMode, WriteMode
from connectors.errors import ConnectorError
from connectors.http.outside import Outside
from connectors.testing.fake_api import (
    FakeApi,
    Fault,
    cut_off,
    damaged,
    failing,
    first,
    html_page,
    throttled,
    unauthorized,
)
from connectors.testing.memory import MemoryDestination, MemoryStore
from connectors.testing.rows import Row, at, row, rows_of
from tests.contract.moving import planned

CHANGE = st.tuples(st.integers(1, 9), st.integers(0, 1), st.sampled_from("abc"))
"""Which record, how many seconds later than the last change, and what it says then."""

PLAIN: Mapping[str, Sequence[Fault]] = {
    "429": [throttled("1")],
    "429 without a word": [throttled()],
    "429 later": [throttled("3600")],
    "503": [failing(503)],
    "storm": [failing(500)] * 6,
    "cut": [cut_off(9)],
    "damaged": [damaged],
    "html": [html_page],
    "expired": [unauthorized],
}
TROUBLE = st.sampled_from([*PLAIN, "change", "delete"])
ROUNDS = st.lists(
    st.tuples(
        st.lists(CHANGE, max_size=7),
        st.lists(st.tuples(st.integers(1, 9), TROUBLE, CHANGE), max_size=3),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    min_size=1,
    max_size=4,
)
"""Changes, troubles at the n-th request, and after how many batches the writer dies."""

SKEW = st.sampled_from([0, 0, -600, -2, 90])
"""By how many seconds our clock is ahead of the provider's."""


class Provider(Protocol):
    """What a world is about."""

    stream: str

    def open(self, outside: Outside) -> Source: ...

    def store(self, row: Row) -> None: ...

    def drop(self, identity: int, moment: datetime) -> None: ...


@dataclass(slots=True)
class World:
    api: FakeApi
    provider: Provider
    now: datetime = field(default_factory=lambda: at(0))
    there: dict[int, Row] = field(default_factory=dict)
    skew: timedelta = timedelta(0)
    lock: Any = field(default_factory=RLock)
    """What happens, happens at one moment: requests come and waits end in several threads."""

    def __post_init__(self) -> None:
        self.api.clock = lambda: self.now
        self.api.calm()

    def change(self, identity: int, later: int, note: str) -> None:
        with self.lock:
            self.now += timedelta(seconds=later)
            held = self.there.get(identity)
            if held is not None and held.changed_at == self.now:
                # The contract takes the same key and cursor for the same record.
                self.now += timedelta(seconds=1)
            seconds = (self.now - at(0)).total_seconds()
            self.there[identity] = row(identity, seconds=seconds, note=note)
            self.provider.store(self.there[identity])

    def delete(self, identity: int) -> None:
        with self.lock:
            if self.there.pop(identity, None) is not None:
                self.now += timedelta(seconds=1)
                self.provider.drop(identity, self.now)

    def sleep(self, seconds: float) -> None:
        # In whole seconds, so that the records' times keep their fraction.
        with self.lock:
            self.now += timedelta(seconds=-(-seconds // 1))

    def open(self) -> Source:
        return self.provider.open(
            Outside(now=lambda: self.now + self.skew, chance=lambda: 0.5, sleep=self.sleep)
        )

    def trouble(self, kind: str, change: tuple[int, int, str], *, deletes: bool) -> Sequence[Fault]:
        if kind in PLAIN:
            return PLAIN[kind]
        if kind == "delete" and deletes:
            return [first(partial(self.delete, change[0]))]
        return [first(partial(self.change, *change))]


class DiedError(Exception):
    """The process that wrote is gone."""


def run(
    source: Source,
    destination: Destination,
    stream: str,
    *,
    execution: str,
    mode: SyncMode,
    batch_rows: int,
    dies_after: int | None = None,
    write_mode: WriteMode | None = None,
) -> None:
    """One execution; a writer that dies has handed its batches over and committed some."""
    usual = WriteMode.UPSERT if mode is SyncMode.INCREMENTAL else WriteMode.REPLACE
    selection, target = planned(
        source,
        stream,
        mode=mode,
        write_mode=write_mode or usual,
        execution=execution,
        dataset="shop",
        batch_rows=batch_rows,
    )
    with closing(destination.open(target, Encoding.ARROW)) as writer:
        pending = None
        batches = source.read(selection, writer.committed.state, Encoding.ARROW)
        with closing(batches):  # type: ignore[type-var]
            for number, batch in enumerate(batches):
                if number == dies_after:
                    raise DiedError
                if pending is not None and mode is SyncMode.INCREMENTAL:
                    writer.commit(pending)
                writer.write(batch)
                pending = batch.state
        writer.commit(pending, finished=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where records go: ``found`` is what is there; ``api`` may have troubles of its own."""

    destination: Destination
    found: Callable[[], Iterable[Mapping[str, Any]]]
    api: FakeApi | None = None
    faults: Sequence[Fault] = ()


def in_memory(world: World) -> Place:
    store = MemoryStore()
    return Place(
        destination=MemoryDestination(store), found=lambda: store.records("shop", "orders") or ()
    )


def prove(
    api: FakeApi,
    make: Callable[[], Provider],
    *,
    mode: SyncMode,
    examples: int,
    deletes: bool,
    to: Callable[[World], Place] = in_memory,
) -> None:
    """``make`` gives a provider without records; ``deletes`` says that it tells of deletes."""

    @settings(max_examples=examples, deadline=None)
    @given(rounds=ROUNDS, batch_rows=st.integers(1, 4), skew=SKEW)
    def proven(rounds: list[Any], batch_rows: int, skew: int) -> None:
        world = World(api, make(), skew=timedelta(seconds=skew))
        stream = world.provider.stream
        place = to(world)
        for number, (changes, troubles, dies_after) in enumerate(rounds):
            for change in changes:
                world.change(*change)
            for nth, kind, change in troubles:
                api.at(nth, *world.trouble(kind, change, deletes=deletes))
                if place.api is not None:
                    known = [*([one] for one in place.faults), *PLAIN.values()]
                    place.api.at(nth * 2, *known[(change[0] + nth) % len(known)])
            with closing(world.open()) as source, suppress(ConnectorError, DiedError):
                run(
                    source,
                    place.destination,
                    stream,
                    execution=f"e{number}",
                    mode=mode,
                    batch_rows=batch_rows,
                    dies_after=dies_after,
                )
        for calmed in filter(None, (api, place.api)):
            calmed.calm()
        world.sleep(3600)
        world.change(9, 0, "last")
        with closing(world.open()) as source:
            run(
                source,
                place.destination,
                stream,
                execution="good",
                mode=mode,
                batch_rows=batch_rows,
            )

        place.destination.close()
        found = rows_of(place.found())
        assert [one for one in found if one.note != GONE] == sorted(world.there.values())

    proven()


GONE = "deleted"
"""What the note of a record says that its provider has told to be deleted."""
