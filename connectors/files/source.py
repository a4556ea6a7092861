"""Reading files: which objects come, in which order, and what is true after each.

Laws:

* An object is read once a version, in the order of the objects' times and names; a
  checkpoint lies only between two objects.
* An object that may still be written to waits: one that was just changed, or whose name
  says so. One that turns out to be half-written ends the attempt; nothing of it is kept.
* Every record can be told by ``_file`` and ``_row``, its number in the object from 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, BinaryIO

import pyarrow as pa
import structlog

from connectors.contract import Batch, Encoding, Selection, Source, State, Stream, SyncMode
from connectors.errors import ConfigError, ContractError, TransientError
from connectors.files.columns import Columns, columns_of
from connectors.files.config import FilesConfig, StreamConfig
from connectors.files.inside import Inside, continued
from connectors.files.names import matching
from connectors.files.reading import Reader
from connectors.files.state import Grown, Progress
from connectors.files.stores import ChangedError, Object, Store, open_store

log = structlog.get_logger()

CHECKPOINT_ROWS = 5_000
"""Between two checkpoints at least, so that many small objects do not cost a state each."""


def _now() -> datetime:
    return datetime.now(UTC)


def open_source(config: FilesConfig, clock: Callable[[], datetime] = _now) -> Source:
    """A source on that place; nothing is connected to yet."""
    return FilesSource(config=config, store=open_store(config), clock=clock)


@dataclass(slots=True, kw_only=True)
class FilesSource:
    """A place with files as a source; each configured pattern is a stream."""

    config: FilesConfig
    store: Store
    clock: Callable[[], datetime]
    _columns: dict[str, Columns] = field(default_factory=dict, init=False, repr=False)

    def check(self) -> str:
        """Look at the root."""
        return self.store.check()

    def discover(self) -> Sequence[Stream]:
        """Every configured stream."""
        return [self.stream(name) for name in sorted(self.config.streams)]

    def stream(self, name: str) -> Stream:
        """One stream, with the columns that its objects have now."""
        config = self._configured(name)
        settled = [found for found in self._listed(config) if not self._is_young(found, config)]
        inside = self._inside(config)
        self._columns[name] = columns_of(inside, settled)
        note = "" if settled else f"no file matches {config.path!r} yet"
        return self._columns[name].stream(name, config, note=note)

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The records of new and changed objects; nothing is opened before the first."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"this source does not speak {encoding}")
        name = selection.stream.name
        config = self._configured(name)
        if selection.row_filter is not None:
            raise ConfigError(f"stream {name!r} is made of files, which take no row_filter")
        if name not in self._columns:
            self.stream(name)
        prior = self._prior(selection, config, state)
        listed = self._listed(config)
        todo = self._todo(selection, config, prior, listed)
        pass_ = _Pass(
            source=self,
            selection=selection,
            inside=self._inside(config),
            columns=self._columns[name],
            prior=prior,
            listed=listed,
        )
        yield from pass_.batches(todo)

    def close(self) -> None:
        """Release connections."""
        self.store.close()

    def _configured(self, name: str) -> StreamConfig:
        if name in self.config.streams:
            return self.config.streams[name]
        near = get_close_matches(name, self.config.streams, n=1)
        known = ", ".join(self.config.streams) or "none; name some in the connection's streams"
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {known}"
        raise ConfigError(f"there is no stream {name!r}; {hint}")

    def _inside(self, config: StreamConfig) -> Inside:
        return Inside(config=self.config, stream=config, store=self.store)

    def _listed(self, config: StreamConfig) -> list[Object]:
        """What the pattern matches, in order, without what its name says is unfinished."""
        ignored = tuple(suffix.lower() for suffix in self.config.unfinished_suffixes)
        found = matching(config.path, self.store)
        return sorted(
            (one for one in found if not one.name.lower().endswith(ignored)),
            key=lambda one: one.order,
        )

    def _is_young(self, found: Object, config: StreamConfig) -> bool:
        """Whether it may still be written to; of what only grows, whole lines are read."""
        settles = self.config.settles
        return not config.append_only and abs(self.clock() - found.modified_at) < settles

    def _prior(self, selection: Selection, config: StreamConfig, state: State | None) -> Progress:
        """What was read before; an unreadable state costs a read from the beginning."""
        whole = selection.mode is SyncMode.FULL or selection.window is not None
        try:
            return Progress.of(None if whole else state, config.tracking, config.late)
        except ValueError as error:
            log.warning("state.unreadable", stream=selection.stream.name, reason=str(error))
            return Progress.of(None, config.tracking, config.late)

    def _todo(
        self,
        selection: Selection,
        config: StreamConfig,
        prior: Progress,
        listed: Iterable[Object],
    ) -> list[Object]:
        todo = []
        since = None
        if selection.lag and prior.watermark is not None:
            since = prior.watermark - selection.lag
        for found in listed:
            again = since is not None and found.modified_at >= since
            if not (prior.is_new(found) or again) or not _within(selection, found):
                continue
            if not self._is_young(found, config):
                todo.append(found)
            elif selection.mode is SyncMode.FULL:
                # Without it, its records would be taken for deleted.
                raise TransientError(
                    f"{found.name!r} was changed a moment ago and may still be written to",
                    retry_after=self.config.settles,
                )
            else:
                log.info("file.waits", file=found.name)
        return todo


def _within(selection: Selection, found: Object) -> bool:
    """Whether the object's time is in the window, if there is one."""
    window = selection.window
    if window is None:
        return True
    after = window.start is None or found.modified_at >= _moment(window.start)
    return after and (window.end is None or found.modified_at < _moment(window.end))


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(
            f"{text!r} bounds no window of files; write it like 2026-01-31T12:00:00+00:00"
        )
    return moment


@dataclass(slots=True, kw_only=True)
class _Pass:
    """One read over the objects of one stream."""

    source: FilesSource
    selection: Selection
    inside: Inside
    columns: Columns
    prior: Progress
    listed: Sequence[Object]
    _read: list[tuple[Object, Grown | None]] = field(default_factory=list)

    def batches(self, todo: Sequence[Object]) -> Iterator[Batch]:
        """The objects' records, with a checkpoint after an object, and the last state."""
        full = self.selection.mode is SyncMode.FULL
        rows, told = 0, False
        reader = Reader(self.inside, self.columns, self.selection)
        with closing(self._fetched(todo)) as fetched:
            for number, (found, prior, file) in enumerate(fetched, start=1):
                last: Batch | None = None
                with closing(file):
                    for batch in reader.batches(found, prior, file):
                        if last is not None:
                            yield last
                        last, told = batch, False
                        rows += batch.data.num_rows if isinstance(batch.data, pa.Table) else 0
                    if not self.inside.stream.append_only:
                        self.inside.store.verify(found)
                self._read.append((found, reader.grown))
                due = not full and (rows >= CHECKPOINT_ROWS or number == len(todo))
                if last is not None:
                    state = self._state() if due else None
                    yield Batch(data=last.data, state=state, rejected=last.rejected)
                    told, rows = state is not None, 0 if state else rows
        if not told or self._read:
            yield Batch(data=reader.empty(), state=self._state())

    def _state(self) -> State | None:
        """True once everything handed over before is durable."""
        if self.selection.window is not None:
            return None
        after = self.prior.after(self._read, self.source.clock())
        self.prior, self._read = after, []
        return after.kept(self.listed).state()

    def _fetched(
        self, todo: Sequence[Object]
    ) -> Generator[tuple[Object, Grown | None, BinaryIO], None, None]:
        """The objects, opened; several are fetched ahead. One that has changed since waits."""
        waiting = iter(todo)
        ahead: deque[tuple[Object, Future[Any]]] = deque()
        with ThreadPoolExecutor(self.source.config.fetch_ahead, "fetch") as pool:
            try:
                while True:
                    while len(ahead) < self.source.config.fetch_ahead:
                        found = next(waiting, None)
                        if found is None:
                            break
                        ahead.append((found, pool.submit(self._opened, found)))
                    if not ahead:
                        return
                    found, opening = ahead.popleft()
                    try:
                        prior, file = opening.result()
                    except ChangedError as error:
                        if self.selection.mode is SyncMode.FULL:
                            raise
                        log.warning("file.waits", file=found.name, reason=str(error))
                        continue
                    yield found, prior, file
            finally:
                for _, opening in ahead:
                    if not opening.cancel() and opening.exception() is None:
                        opening.result()[1].close()

    def _opened(self, found: Object) -> tuple[Grown | None, BinaryIO]:
        if not self.inside.stream.append_only:
            return None, self.inside.store.open(found)
        prior = continued(self.inside, found, self.prior.grown.get(found.name))
        start = prior.offset if prior else 0
        return prior, self.inside.store.open(found, start, found.size, exact=False)
