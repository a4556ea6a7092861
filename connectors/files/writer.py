"""Writes one stream's table: records are merged aside, put as an object, and then named.

Laws:

* A commit is the moment in which the manifest is replaced. Whoever dies before has changed
  nothing but objects that nobody is told of; those are swept away a day later.
* A retried commit of the same records writes the same object again, not a second one.
* What an earlier manifest named stays for a day, for readers that are still at it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pyarrow as pa

from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Greatest,
    PgCopy,
    State,
    Target,
)
from connectors.described import arrow_schema
from connectors.errors import ContractError, TransientError
from connectors.files import parts
from connectors.files.config import FormatName
from connectors.files.manifest import (
    DATA,
    NAME,
    REJECTED,
    Known,
    Manifest,
    Part,
    names_of,
    part_name,
    table_of,
)
from connectors.files.scratch import Scratch
from connectors.files.spelling import on_one_line
from connectors.files.stores import Object, Store
from connectors.manner import Manner, emptying
from connectors.rejected import REJECTED_TABLE, rejected_schema

KEPT = timedelta(days=1)
"""How long an object that is no longer named stays."""


class FilesWriter:
    """See `connectors.contract.Writer`."""

    def __init__(
        self, *, store: Store, target: Target, clock: Callable[[], datetime], form: parts.Form
    ) -> None:
        self._store = store
        self._form = form
        self._target = target
        self._manner = Manner.of(target)
        self._clock = clock
        self._place = table_of(target)
        self._scratch: Scratch | None = None
        self._usable = True
        self._any_rows = False
        held = store.get(f"{self._place}/{NAME}")
        self._version = held.version if held else None
        self._manifest = Manifest.parse(held.content, f"{self._place}/{NAME}") if held else None
        known = self._manifest.of(target) if self._manifest else None
        before = known.committed if known else Committed()
        same = before.execution == target.execution
        self._commits = known.commits if known and same else 0
        self._committed = before.resumed_by(target.execution, restart=target.restart)

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    def write(self, batch: Batch) -> None:
        """Stage a batch: not visible to readers, not durable yet."""
        self._check_usable()
        if isinstance(batch.data, PgCopy):
            raise ContractError("files are written from Arrow, and were given pgcopy")
        self._any_rows = self._any_rows or batch.data.num_rows > 0
        if self._form.format is FormatName.JSONL:
            lines = on_one_line(batch.data, arrow_schema(self._target.schema))
            batch = replace(batch, data=lines)
        self._staging().write(batch)

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Make all that was staged durable, with counts and state, by one manifest."""
        self._check_usable()
        if isinstance(state, Greatest):
            raise ContractError("only a database can tell the greatest value that it has staged")
        self._manner.refuse_part(self._target, finished=finished)
        self._usable = False
        counts, manifest = self._merged(finished=finished)
        committed = Committed(
            state=self._committed.state if state is None else state,
            execution=self._target.execution,
            finished=finished,
            counts=self._committed.counts + counts,
            committed_at=self._clock(),
        )
        self._commits += 1
        known = Known(committed=committed, commits=self._commits)
        manifest = manifest.knowing(self._target, known)
        path = f"{self._place}/{NAME}"
        self._version = self._store.swap(path, manifest.text(), self._version)
        self._manifest, self._committed = manifest, committed
        if finished:
            self._sweep()
        self._usable = True
        return committed

    def close(self) -> None:
        """Release; what was not committed is gone. Safe to call twice."""
        self._usable = False
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def _check_usable(self) -> None:
        if not self._usable:
            raise ContractError("this writer is closed, or a commit of it has failed; open another")

    def _staging(self) -> Scratch:
        if self._scratch is None:
            self._scratch = Scratch(self._target, self._clock)
            if self._manifest is not None:
                self._scratch.load(self._manifest.schema, self._present(self._manifest))
                if self._manifest.rejected:
                    held = stored_rejected(self._store, self._place, self._manifest)
                    self._scratch.load(rejected_schema(), held, table=REJECTED_TABLE)
        return self._scratch

    def _present(self, manifest: Manifest) -> Iterator[pa.Table]:
        """What new records are compared with: nothing, where all of it is replaced or kept."""
        if self._manner.once:
            return iter(())
        return stored_parts(self._store, self._place, manifest)

    def _merged(self, *, finished: bool) -> tuple[Counts, Manifest]:
        """The table as it will be, its objects already put, and what that did."""
        present = self._manifest
        if finished:
            self._refuse_emptying()
        whole = self._manner.once or self._manner.deletes
        idle = not (self._scratch or whole or self._tidies(finished))
        if idle and present is not None:
            return Counts(), present
        if idle and not finished:
            return Counts(), Manifest(schema=arrow_schema(self._target.schema))
        scratch = self._staging()
        counts = scratch.commit(finished=finished)
        schema = scratch.schema()
        base = replace(present, schema=schema) if present else Manifest(schema=schema)
        base = replace(base, rejected=self._put_rejected(base))
        appends, replaces = self._manner.appends, self._manner.replaces
        if not replaces and not counts.created and not counts.updated and not counts.deleted:
            return counts, base
        loaded = 0 if self._manner.once else base.rows
        records = scratch.records(after=loaded if appends else 0)
        new = self._put(records, schema, folder=DATA, form=self._form)
        return counts, replace(base, parts=(*base.parts, *new) if appends else new)

    def _tidies(self, finished: bool) -> bool:
        """Whether rejected records of earlier executions go, though nothing came."""
        ends = finished and self._target.complete
        there = self._manifest is not None and bool(self._manifest.rejected)
        return there and (ends or bool(self._target.redriven))

    def _put_rejected(self, base: Manifest) -> tuple[Part, ...]:
        """The rejected records as they are after this commit."""
        found = self._staging().rejected()
        held = stored_rejected(self._store, self._place, base)
        before = {identity for table in held for identity in table.column("id").to_pylist()}
        if before == set(found.column("id").to_pylist()):
            return base.rejected
        return self._put(iter((found,)), found.schema, folder=REJECTED, form=parts.PARQUET)

    def _refuse_emptying(self) -> None:
        """A replace of which nothing came; deletes are refused where they are merged."""
        if not self._manner.replaces or self._any_rows or self._target.allow_empty:
            return
        if self._manifest is not None and self._manifest.rows:
            raise emptying(self._target)

    def _put(
        self, tables: Iterator[pa.Table], schema: pa.Schema, *, folder: str, form: parts.Form
    ) -> tuple[Part, ...]:
        with tempfile.TemporaryDirectory(prefix="sync-files-") as home:
            path = Path(home) / "part"
            done = parts.write(path, schema, tables, form)
            if not done.rows:
                return ()
            digest = parts.digest_of(path)
            name = part_name(self._target, self._commits, digest, folder=folder, suffix=form.suffix)
            self._store.put(f"{self._place}/{name}", path)
            size = path.stat().st_size
            return (Part(name=name, rows=done.rows, bytes=size, longest=done.longest),)

    def _sweep(self) -> None:
        """Remove what nobody names any more; that it fails is no reason to fail."""
        assert self._manifest is not None
        named = names_of((*self._manifest.parts, *self._manifest.rejected))
        before = self._clock() - KEPT
        for folder in (DATA, REJECTED):
            with suppress(TransientError):
                for found in islice(self._store.list(f"{self._place}/{folder}"), 10_000):
                    name = found.name.removeprefix(f"{self._place}/")
                    if name not in named and found.modified_at < before:
                        self._store.delete(found.name)


def stored_parts(store: Store, place: str, manifest: Manifest) -> Iterator[pa.Table]:
    """All records that a manifest names."""
    yield from _stored(store, f"{place}/{DATA}", manifest.parts, manifest.schema)


def stored_rejected(store: Store, place: str, manifest: Manifest) -> Iterator[pa.Table]:
    """All rejected records that a manifest names; see `connectors.rejected`."""
    yield from _stored(store, f"{place}/{REJECTED}", manifest.rejected, rejected_schema())


def _stored(
    store: Store, folder: str, named: Sequence[Part], schema: pa.Schema
) -> Iterator[pa.Table]:
    if not named:
        return
    place = folder.rpartition("/")[0]
    there = {found.name: found for found in store.list(folder)}
    for part in named:
        found: Object | None = there.get(f"{place}/{part.name}")
        if found is None:
            raise TransientError(
                f"{part.name!r} of {place!r} is named by its manifest, and not there"
            )
        with closing(store.open(found)) as file:
            yield from parts.read(file, part, schema)
