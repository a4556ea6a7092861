"""Writes one stream through PostgREST: compare with what is there, upsert, then the state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
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
from connectors.described import arrow_schema
from connectors.errors import ContractError, EmptySourceError
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
        counts = self._upserted()
        if finished and (self._soft or self._hard):
            counts += self._without_missing()
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
        processed, rejected = 0, self._rejected
        created = updated = 0
        for names, newest, bad in self._newest():
            processed += sum(newest.values())
            rejected += bad
            self._look(names)
            new, changed = self._compared(list(newest), names)
            self._table.upsert([*new, *changed], self._sent(names))
            created, updated = created + len(new), updated + len(changed)
        return Counts(
            processed=processed,
            created=created,
            updated=updated,
            rejected=rejected,
            bytes=self._bytes,
        )

    def _newest(self) -> Sequence[tuple[Sequence[str], Mapping[Row, int], int]]:
        """By their columns: of each key the newest row, and how often the key came."""
        raise NotImplementedError
