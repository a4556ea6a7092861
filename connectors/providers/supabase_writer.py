"""Writes one stream through PostgREST: compare with what is there, upsert, then the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Deletes,
    Greatest,
    PgCopy,
    State,
    Target,
)
from connectors.deleting import refuse_many
from connectors.described import arrow_schema
from connectors.errors import ConfigError, ContractError, EmptySourceError
from connectors.http.client import HttpClient
from connectors.late import pa
from connectors.providers.supabase_rows import (
    Key,
    Row,
    canonical,
    is_older,
    plain_key,
    rows_of,
    same,
)
from connectors.providers.supabase_table import DELETED_AT, Known, RemoteTable
from connectors.sql.arriving import plain_schema


class SupabaseWriter:
    """See `connectors.contract.Writer`; what is staged is held in memory."""

    def __init__(
        self, *, client: HttpClient, target: Target, clock: Callable[[], datetime]
    ) -> None:
        self._table = RemoteTable(client=client, target=target)
        self._target = target
        self._clock = clock
        self._soft = target.complete and target.deletes is Deletes.SOFT
        self._hard = target.complete and target.deletes is Deletes.HARD
        self._staged: list[pa.Table] = []
        self._rejected = 0
        self._bytes = 0
        self._met: set[Key] = set()
        self._usable = True
        self._looked: set[str] = set()
        self._look(plain_schema(arrow_schema(target.schema)).names)
        self._known: Known | None = self._table.state()
        before = self._known.committed if self._known else Committed()
        self._committed = before.resumed_by(target.execution, restart=target.restart)

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    def write(self, batch: Batch) -> None:
        """Stage a batch: nothing of it is sent yet."""
        self._check_usable()
        if isinstance(batch.data, PgCopy):
            raise ContractError("Supabase is written from Arrow, and was given pgcopy")
        told = batch.deleted is not None and batch.deleted.num_rows > 0
        if told and self._target.heeds_deletes:
            raise ConfigError(
                f"{self._target.stream!r} tells which records are gone, and through its API a "
                "Supabase project does not take that; set deletes keep, or write with the "
                "connector database"
            )
        self._rejected += len(batch.rejected)
        if batch.data.num_rows:
            self._staged.append(batch.data)
            self._bytes += batch.data.nbytes

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
        missing = self._missing() if finished and (self._soft or self._hard) else ()
        counts = self._upserted() + self._without(missing)
        committed = Committed(
            state=self._committed.state if state is None else state,
            execution=self._target.execution,
            finished=finished,
            counts=self._committed.counts + counts,
            committed_at=self._clock(),
        )
        self._known = self._table.move(self._known, committed)
        self._committed = committed
        self._staged, self._rejected, self._bytes = [], 0, 0
        self._usable = True
        return committed

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

    def _upserted(self) -> Counts:
        done = Counts(rejected=self._rejected, bytes=self._bytes)
        for names, tables in self._alike():
            self._look(names)
            newest: dict[Key, Row] = {}
            came = keyless = 0
            for table in tables:
                for row in rows_of(table, self._target.primary_key):
                    came += 1
                    keyless += None in row.key
                    if None not in row.key:
                        self._keep_newest(newest, row)
            self._met.update(newest)
            new, changed = self._compared(newest, names)
            sent = [*names, *((DELETED_AT,) if self._soft else ())]
            self._table.upsert([*new, *changed], sent)
            done += Counts(
                processed=came - keyless,
                created=len(new),
                updated=len(changed),
                rejected=keyless,
            )
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

    def _missing(self) -> Sequence[Key]:
        """What the whole read did not bring; raises if that is too much to delete unasked."""
        key = self._target.primary_key
        for table in self._staged:
            keys = (row.key for row in rows_of(table, key))
            self._met.update(canonical(one) for one in keys if None not in one)
        there = self._table.keys(alive=self._soft)
        missing = [
            tuple(row[name] for name in key)
            for row in there
            if plain_key(row, key) not in self._met
        ]
        if missing and not self._met:
            if not self._target.allow_empty:
                raise EmptySourceError(
                    f"{self._target.stream!r} came back empty, and {self._target.table!r} is not; "
                    "if it is meant, allow empty sources for this sync"
                )
            return missing
        refuse_many(self._target, deleted=len(missing), left=len(self._met))
        return missing

    def _without(self, missing: Sequence[Key]) -> Counts:
        """Remove or mark these."""
        if self._soft:
            self._table.mark(missing, self._clock())
        else:
            self._table.delete(missing)
        return Counts(deleted=len(missing))
