"""Writes one stream through PostgREST: compare with what is there, upsert, then the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from connectors.arrow import Logical, logical_of
from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Deletes,
    Greatest,
    PgCopy,
    Rejection,
    State,
    Target,
)
from connectors.deleting import asks, refuse_many
from connectors.errors import ContractError, EmptySourceError
from connectors.http.client import HttpClient
from connectors.late import pa
from connectors.payload import without_key
from connectors.providers.supabase_rejected import RemoteRejected
from connectors.providers.supabase_rows import (
    Key,
    Row,
    canonical,
    is_older,
    plain_key,
    rows_of,
    same,
)
from connectors.providers.supabase_shape import Shaper
from connectors.providers.supabase_table import DELETED_AT, Known, RemoteTable
from connectors.rejected import MOST_KEPT
from connectors.sql.arriving import plain_schema, plain_table
from connectors.sql.gone import Gone


class SupabaseWriter:
    """See `connectors.contract.Writer`; what is staged is held in memory."""

    def __init__(
        self, *, client: HttpClient, target: Target, clock: Callable[[], datetime]
    ) -> None:
        self._table = RemoteTable(client=client, target=target)
        self._aside = RemoteRejected(client, target)
        self._target = target
        self._clock = clock
        self._soft = target.heeds_deletes and target.deletes is Deletes.SOFT
        self._whole = target.heeds_deletes and target.complete
        self._staged: list[pa.Table] = []
        self._gone = Gone(target.primary_key)
        self._rejections: list[Rejection] = []
        self._rejected = 0
        self._bytes = 0
        self._met: set[Key] = set()
        self._usable = True
        self._looked: set[str] = set()
        self._shaper = Shaper(client, target)
        self._look(self._shaper.first.names)
        self._known: Known | None = self._table.state()
        before = self._known.committed if self._known else Committed()
        self._committed = before.resumed_by(target.execution, restart=target.restart)

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    def write(self, batch: Batch) -> None:
        """Stage a batch: nothing of it is sent yet, and nothing is kept of one that is refused."""
        self._check_usable()
        if isinstance(batch.data, PgCopy):
            raise ContractError("Supabase is written from Arrow, and was given pgcopy")
        if batch.data.num_rows:
            key = self._target.primary_key
            data, keyless = without_key(self._shaper.table(plain_table(batch.data)), key)
            self._reject(keyless)
            if self._gone:
                self._gone.bring_back(data)
            self._staged.append(data)
            self._bytes += data.nbytes
        self._reject(batch.rejected)
        if batch.deleted is not None and self._target.heeds_deletes:
            self._gone.add(plain_table(batch.deleted))

    def _reject(self, rejected: Sequence[Rejection]) -> None:
        self._rejected += len(rejected)
        self._rejections += rejected[: max(0, MOST_KEPT - len(self._rejections))]

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Upsert what was staged, delete what is gone, and then move the state."""
        self._check_usable()
        if isinstance(state, Greatest):
            raise ContractError("only a database can tell the greatest value that it has staged")
        self._usable = False
        found = self._table.state()
        if (found and found.token) != (self._known and self._known.token):
            raise self._table.lost(found)
        # Before anything is sent: what is refused changes nothing.
        if self._rejected:
            self._aside.require()
        gone = self._gone_keys()
        doomed = self._doomed(gone, finished=finished)
        counts = self._upserted(gone) + self._without(doomed)
        committed = Committed(
            state=self._committed.state if state is None else state,
            execution=self._target.execution,
            finished=finished,
            counts=self._committed.counts + counts,
            committed_at=self._clock(),
        )
        self._set_aside(finished=finished)
        self._known = self._table.move(self._known, committed)
        self._committed = committed
        self._staged, self._rejections, self._rejected, self._bytes = [], [], 0, 0
        self._gone.clear()
        self._usable = True
        return committed

    def _set_aside(self, *, finished: bool) -> None:
        """Write what this commit rejects where the tenant finds it."""
        self._aside.put(
            self._rejections,
            self._rejected - len(self._rejections),
            at=self._clock(),
            complete=finished and self._target.complete,
        )

    def close(self) -> None:
        """Release; what was not committed was not sent. Safe to call twice."""
        self._usable = False
        self._staged = []

    def _check_usable(self) -> None:
        if not self._usable:
            raise ContractError("this writer is closed, or a commit of it has failed; open another")

    def _look(self, names: Sequence[str]) -> None:
        wanted = [*names, *((DELETED_AT,) if self._soft else ())]
        if not self._looked.issuperset(wanted):
            self._table.look(wanted)
            self._looked.update(wanted)

    # Upserts

    def _upserted(self, gone: Mapping[Key, Key]) -> Counts:
        """Write what came, but for records that the source has said to be gone since."""
        done = Counts(rejected=self._rejected, bytes=self._bytes)
        for names, tables in self._alike():
            self._look(names)
            newest: dict[Key, Row] = {}
            came = 0
            for table in tables:
                for row in rows_of(table, self._target.primary_key):
                    came += 1
                    if canonical(row.key) not in gone:
                        self._keep_newest(newest, row)
            new, changed = self._compared(newest, names)
            sent = [*names, *((DELETED_AT,) if self._soft else ())]
            self._table.upsert([*new, *changed], sent, _decimals(tables[0].schema))
            done += Counts(processed=came, created=len(new), updated=len(changed))
        return done

    def _alike(self) -> Iterator[tuple[Sequence[str], Sequence[pa.Table]]]:
        """What was staged, in its order; tables of the same columns together."""
        for names, tables in groupby(self._staged, key=lambda table: plain_schema(table.schema)):
            yield names.names, list(tables)

    def _keep_newest(self, newest: dict[Key, Row], row: Row) -> None:
        key = canonical(row.key)
        held = newest.get(key)
        if held is None or not self._is_older(row, held.values):
            newest[key] = row

    def _compared(
        self, newest: Mapping[Key, Row], names: Sequence[str]
    ) -> tuple[Sequence[Row], Sequence[Row]]:
        """The rows that are not there yet, and those that say something new."""
        wanted = dict.fromkeys((*names, *((DELETED_AT,) if self._soft else ())))
        stored = {
            plain_key(row, self._target.primary_key): row
            for row in self._table.stored([row.key for row in newest.values()], list(wanted))
        }
        new = [row for key, row in newest.items() if key not in stored]
        there = [(row, stored[key]) for key, row in newest.items() if key in stored]
        return new, [row for row, held in there if self._says_more(row, held)]

    def _says_more(self, row: Row, held: Mapping[str, Any]) -> bool:
        if held.get(DELETED_AT) is not None and self._soft:
            return True
        if self._is_older(row, held):
            return False
        return not all(same(value, held.get(name)) for name, value in row.values.items())

    def _is_older(self, row: Row, held: Mapping[str, Any]) -> bool:
        cursor = self._target.cursor_field
        return cursor is not None and is_older(row.values.get(cursor), held.get(cursor))

    # Deletes

    def _gone_keys(self) -> Mapping[Key, Key]:
        """The keys that the source has told to be gone, by how they are compared."""
        keys = self._gone.keys()
        found = () if keys is None else rows_of(keys, self._target.primary_key)
        return {canonical(row.key): row.key for row in found}

    def _doomed(self, gone: Mapping[Key, Key], *, finished: bool) -> Sequence[Key]:
        """What is to be deleted; raises if that is too much to be deleted unasked."""
        if not self._whole:
            return self._told(gone)
        key = self._target.primary_key
        self._met.update(
            canonical(row.key) for table in self._staged for row in rows_of(table, key)
        )
        self._met.difference_update(gone)
        return self._missing() if finished else self._told(gone)

    def _told(self, gone: Mapping[Key, Key]) -> Sequence[Key]:
        """Those that the source has told to be gone, and that are there."""
        key = self._target.primary_key
        columns = [*key, *((DELETED_AT,) if self._soft else ())]
        there = [
            tuple(row[name] for name in key)
            for row in self._table.stored(list(gone.values()), columns)
            if row.get(DELETED_AT) is None
        ]
        total = self._committed.counts.deleted + len(there)
        if there and asks(self._target, total):
            alive = self._table.count(alive=self._soft)
            refuse_many(self._target, deleted=total, left=alive - len(there))
        return there

    def _missing(self) -> Sequence[Key]:
        """What the whole read did not bring, or brought and told to be gone."""
        key = self._target.primary_key
        missing = [
            tuple(row[name] for name in key)
            for row in self._table.keys(alive=self._soft)
            if plain_key(row, key) not in self._met
        ]
        if missing and not self._met:
            if not self._target.allow_empty:
                raise EmptySourceError(
                    f"{self._target.stream!r} came back empty, and {self._target.table!r} is not; "
                    "if it is meant, allow empty sources for this sync"
                )
            return missing
        total = self._committed.counts.deleted + len(missing)
        refuse_many(self._target, deleted=total, left=len(self._met))
        return missing

    def _without(self, doomed: Sequence[Key]) -> Counts:
        """Remove or mark these."""
        if self._soft:
            self._table.mark(doomed, self._clock())
        else:
            self._table.delete(doomed)
        return Counts(deleted=len(doomed))


def _decimals(schema: pa.Schema) -> Sequence[str]:
    return [one.name for one in schema if logical_of(one) is Logical.DECIMAL]
