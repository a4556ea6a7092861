"""Writes one stream's records to QuickBooks, and then moves the state.

Laws:

* Nothing is sent before a commit; then each record is sent once, and the state moves after
  the last of them. Whoever dies in between has moved no state, and what was sent is found
  again and not sent a second time.
* A record that QuickBooks refuses is named in its words; the others are sent.
* A version that is older than the one that was sent is left out.
* What concerns all of them (credentials, limits, a closed company) ends the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from connectors.contract import (
    Batch,
    Committed,
    Counts,
    Greatest,
    PgCopy,
    Rejection,
    State,
    Target,
)
from connectors.errors import ContractError, DataError
from connectors.late import pa
from connectors.payload import NO_KEY, payload_of
from connectors.providers.quickbooks.forms import Document, Form
from connectors.providers.quickbooks.ledger import Ledger
from connectors.providers.quickbooks.matching import Matcher
from connectors.providers.quickbooks.sending import AT_ONCE, Sender
from connectors.providers.quickbooks.tables import Table, Thing, Values
from connectors.providers.quickbooks.versions import is_older, version


class QuickBooksWriter:
    """See `connectors.contract.Writer` and `Refusing`."""

    def __init__(
        self,
        *,
        target: Target,
        table: Table,
        ledger: Ledger,
        sender: Sender,
        matcher: Callable[[], Matcher],
        clock: Callable[[], datetime],
    ) -> None:
        self._target = target
        self._table = table
        self._ledger = ledger
        self._sender = sender
        self._matcher = matcher
        self._clock = clock
        self._committed = ledger.open()
        self._staged: list[pa.Table] = []
        self._pending = Counts()
        self._rejected: list[Rejection] = []
        self._refused: list[Rejection] = []
        self._records: Mapping[str, Mapping[str, Any]] = {}
        self._usable = True

    @property
    def committed(self) -> Committed:
        """What is durable, seen from this execution; refreshed by every commit."""
        return self._committed

    @property
    def refused(self) -> Sequence[Rejection]:
        """See `Refusing.refused`."""
        return tuple(self._refused)

    def write(self, batch: Batch) -> None:
        """Keep a batch until the commit; nothing is sent yet."""
        self._check_usable()
        if isinstance(batch.data, PgCopy):
            raise ContractError("QuickBooks is written from Arrow, and was given pgcopy")
        self._staged.append(batch.data)
        self._pending += Counts(bytes=batch.data.nbytes, rejected=len(batch.rejected))
        self._rejected += batch.rejected

    def commit(self, state: State | Greatest | None, *, finished: bool = False) -> Committed:
        """Send all that was staged, and then move state and counts in one transaction."""
        self._check_usable()
        if isinstance(state, Greatest):
            raise ContractError("only a database can tell the greatest value that it has staged")
        self._usable, self._refused = False, []
        self._ledger.verify()
        rows = sum(table.num_rows for table in self._staged)
        self._send_all()
        bad = len(self._refused)
        self._committed = self._ledger.commit(
            Committed(
                state=self._committed.state if state is None else state,
                execution=self._target.execution,
                finished=finished,
                counts=self._committed.counts
                + self._pending
                + Counts(processed=rows - bad, rejected=bad),
                committed_at=self._clock(),
            ),
            self._table.entities,
            [*self._rejected, *self._refused],
        )
        self._staged, self._pending, self._rejected = [], Counts(), []
        self._records, self._usable = {}, True
        return self._committed

    def close(self) -> None:
        """Release; what was not committed is gone. Safe to call twice."""
        self._usable = False
        self._ledger.close()

    def _check_usable(self) -> None:
        if not self._usable:
            raise ContractError("this writer is closed, or a commit of it has failed; open another")

    # Sending

    def _send_all(self) -> None:
        matcher = self._matcher()
        things = self._things()
        for start in range(0, len(things), AT_ONCE):
            some = things[start : start + AT_ONCE]
            self._void([one for one in some if isinstance(one, Document) and one.void])
            live = [one for one in some if not (isinstance(one, Document) and one.void)]
            sent = self._send(live, matcher)
            paid = [
                one.paid
                for one in live
                if isinstance(one, Document) and one.paid and one.key in sent
            ]
            self._send(paid, matcher)

    def _things(self) -> Sequence[Thing]:
        things = []
        self._records = self._not_older(self._newest())
        for key, record in self._records.items():
            try:
                thing = self._table.read(key, Values(record))
            except DataError as error:
                self._refuse(key, error)
                continue
            if thing is not None:
                things.append(thing)
        return things

    def _newest(self) -> Mapping[str, Mapping[str, Any]]:
        """One record a key: the newest by cursor, and of equally new ones the last to arrive."""
        newest: dict[str, Mapping[str, Any]] = {}
        cursor = self._target.cursor_field
        for table in self._staged:
            for record in table.to_pylist():
                values = [record.get(name) for name in self._target.primary_key]
                key = "/".join(str(value) for value in values)
                if None in values:
                    reason = "its key is empty, so it cannot be told from others"
                    payload = payload_of(record)
                    self._refused.append(Rejection(key=NO_KEY, reason=reason, payload=payload))
                elif not (cursor and key in newest and _is_older(record, newest[key], cursor)):
                    newest[key] = record
        return newest

    def _not_older(
        self, newest: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Without those of which a newer version was sent: one that is redriven may be old."""
        cursor, entities = self._target.cursor_field, self._table.entities
        if cursor is None:
            return newest
        sent = self._ledger.versions(entities, list(newest))
        kept = {
            key: record
            for key, record in newest.items()
            if not is_older(cursor, record.get(cursor), sent.get(key))
        }
        told = {key: version(cursor, record.get(cursor)) for key, record in kept.items()}
        self._ledger.send_as(entities, {key: one for key, one in told.items() if one is not None})
        return kept

    def _send(self, things: Sequence[Thing], matcher: Matcher) -> frozenset[str]:
        """The keys of those that are in QuickBooks now."""
        forms: list[Form] = []
        for thing in things:
            try:
                forms.append(matcher.form(thing))
            except DataError as error:
                self._refuse(thing.key, error)
        done = set()
        for sent in self._sender.send(forms):
            if sent.entry is None:
                self._refuse(sent.form.key, DataError(sent.refused))
            else:
                done.add(sent.form.key)
        return frozenset(done)

    def _void(self, documents: Sequence[Document]) -> None:
        for document in documents:
            try:
                self._sender.void(document.entity, document.key)
            except DataError as error:
                self._refuse(document.key, error)

    def _refuse(self, key: str, error: DataError) -> None:
        payload = payload_of(self._records[key])
        self._refused.append(Rejection(key=key, reason=str(error), payload=payload))


def _is_older(record: Mapping[str, Any], than: Mapping[str, Any], cursor: str) -> bool:
    one, other = record.get(cursor), than.get(cursor)
    return one is not None and other is not None and bool(one < other)
