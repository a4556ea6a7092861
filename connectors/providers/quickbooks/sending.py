"""Makes objects in QuickBooks be as their forms say, once, however often it is tried.

Laws:

* What the ledger knows is changed under its id, or left alone if it is as it was sent.
* What the ledger does not know is looked up before it is created: a call whose answer was
  lost may have been done.
* Every write carries a ``requestid`` made of company, sync, record, version and the version
  of the object it starts from; QuickBooks does such a call once.
* A document is taken for ours by a mark in its note, a customer or an item by its name if
  nothing that both have speaks against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any

from connectors.errors import TransientError
from connectors.providers.quickbooks.company import Company
from connectors.providers.quickbooks.faults import Code, FaultError
from connectors.providers.quickbooks.forms import Form, renamed
from connectors.providers.quickbooks.ledger import Entry, Ledger
from connectors.rest.records import Record, find
from connectors.rest.walk import in_order

AT_ONCE = 30
"""Forms that are looked up with one query."""
_ID = re.compile(r"\bId=(\d+)")
TRIES = 3
"""How often an object that somebody else keeps changing is tried to be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one form: the object, or why not. ``entry`` None with a refusal."""

    form: Form
    entry: Entry | None = None
    refused: str = ""
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends forms for one owner."""

    company: Company
    ledger: Ledger

    def send(self, forms: Sequence[Form]) -> Iterator[Sent]:
        """Each form's outcome, in order; what was done is noted before it is told.

        Keys are different ones. What stops all of them is raised.
        """
        for start in range(0, len(forms), AT_ONCE):
            yield from self._send(forms[start : start + AT_ONCE])

    def one(self, form: Form) -> Sent:
        """One form's outcome."""
        return next(iter(self._send([form])))

    def void(self, entity: str, key: str) -> bool:
        """Cancel a document if it was sent and is not cancelled yet."""
        entry = self.ledger.find(entity, [key]).get(key)
        if entry is None or entry.digest == VOIDED:
            return False
        params = _VOIDING.get(entity, {"operation": "void"})
        token = self.company.read(entity, entry.id)["SyncToken"]
        body: Mapping[str, Any] = {"Id": entry.id, "SyncToken": token, "sparse": True}
        request_id = self._request_id(entity, key, VOIDED, token)
        done = self.company.write(entity, body, request_id=request_id, params=params)
        kept = replace(entry, sync_token=done["SyncToken"], digest=VOIDED, action="updated")
        self.ledger.note([kept])
        return True

    def _send(self, forms: Sequence[Form]) -> Iterator[Sent]:
        known: dict[tuple[str, str], Entry] = {}
        for entity in dict.fromkeys(form.entity for form in forms):
            keys = [form.key for form in forms if form.entity == entity]
            known.update(
                {(entity, key): one for key, one in self.ledger.find(entity, keys).items()}
            )
        fresh = [form for form in forms if (form.entity, form.key) not in known]
        there = self._look_up(fresh)

        done: list[Sent] = []

        def work(form: Form) -> Sent:
            entry = known.get((form.entity, form.key))
            try:
                sent = self._sent(form, entry, there)
            except FaultError as fault:
                return Sent(form=form, refused=str(fault))
            done.append(sent)
            return sent

        try:
            yield from self._noting(in_order(work, forms, most=self._at_once), done)
        finally:
            # One has failed; what others did meanwhile is done all the same.
            self._note_all(done)

    @property
    def _at_once(self) -> int:
        return self.company.client.limits.concurrency

    def _noting(self, coming: Iterator[Sent], done: list[Sent]) -> Iterator[Sent]:
        for sent in coming:
            self._note_all(done)
            yield sent

    def _note_all(self, done: list[Sent]) -> None:
        """Note what has been done so far; other threads go on adding to it."""
        taken = [done.pop(0) for _ in range(len(done))]
        self.ledger.note([one.entry for one in taken if one.entry is not None and one.is_new])

    def _sent(self, form: Form, entry: Entry | None, there: _There) -> Sent:
        if entry is not None:
            if form.only_match or entry.digest == form.digest:
                return Sent(form=form, entry=entry)
            return self._updated(form, entry.id, entry.sync_token)
        found = there.of(form)
        return self._met(form, found) if found else self._created(form)

    # What is there

    def _look_up(self, forms: Sequence[Form]) -> _There:
        asked: dict[tuple[str, str], list[str]] = {}
        for form in forms:
            for field, value in form.sought:
                asked.setdefault((form.entity, field), []).extend((value, value.lower()))
        return _There(
            {
                (entity, field): self.company.find(entity, field, values)
                for (entity, field), values in asked.items()
            }
        )

    def _met(self, form: Form, there: Sequence[Record]) -> Sent:
        """What to do about objects that were there before the form was sent."""
        found = there[0]
        if form.marked:
            ours = [one for one in there if self._mark(form, version=False) in _note(one)]
            if not ours and form.is_unique:
                return Sent(form=form, refused=_taken(form, found))
            if not ours:
                return self._created(form)
            found = ours[0]
            if self._mark(form) in _note(found):
                return self._noted(form, found, "created")
        elif not _may_be(form, found):
            return self._created(renamed(form), digest=form.digest)
        if form.only_match or holds(found, form.body):
            return self._noted(form, found, "matched")
        return self._updated(form, found["Id"], found["SyncToken"])

    def _named_in(self, fault: FaultError, form: Form) -> Sequence[Record]:
        """The object whose id a refusal tells; none if that is another kind of object."""
        told = _ID.search(str(fault))
        if told is None:
            return ()
        try:
            return (self.company.read(form.entity, told[1]),)
        except FaultError:
            return ()

    # Writing

    def _created(self, form: Form, digest: str | None = None) -> Sent:
        digest = digest or form.digest
        request_id = self._request_id(form.entity, form.key, form.digest, "new")
        try:
            done = self.company.write(form.entity, self._body(form), request_id=request_id)
        except FaultError as fault:
            if fault.code not in (Code.DUPLICATE_NAME, Code.DUPLICATE_NUMBER):
                raise
            # Somebody was faster, or spells it otherwise, or it is one whom no query shows.
            found = self._look_up([form]).of(form) or self._named_in(fault, form)
            if found and digest == form.digest:
                return self._met(form, found)
            if form.marked or digest != form.digest:
                raise
            return self._created(renamed(form), digest=digest)
        return self._noted(form, done, "created", digest=digest)

    def _updated(self, form: Form, identity: str, token: str) -> Sent:
        """Changed in those fields that we send; others keep what somebody has put there."""
        sent = form
        for _ in range(TRIES):
            body = {**self._body(sent), "Id": identity, "SyncToken": token, "sparse": True}
            request_id = self._request_id(sent.entity, sent.key, sent.digest, token)
            try:
                done = self.company.write(sent.entity, body, request_id=request_id)
            except FaultError as fault:
                if fault.code == Code.NOT_FOUND:
                    return Sent(form=form, refused=_gone(form, identity))
                if fault.code == Code.DUPLICATE_NAME and not form.marked and sent is form:
                    sent = renamed(form)
                    continue
                if fault.code != Code.STALE:
                    raise
                current = self.company.read(form.entity, identity)
                if holds(current, self._body(sent)):
                    return self._noted(form, current, "updated")
                token = current["SyncToken"]
            else:
                return self._noted(form, done, "updated")
        raise TransientError(
            f"the {form.entity} of record {form.key!r} is being changed in QuickBooks all the "
            "time; it is tried again later"
        )

    def _noted(self, form: Form, done: Record, action: str, digest: str | None = None) -> Sent:
        entry = Entry(
            entity=form.entity,
            key=form.key,
            id=str(done["Id"]),
            sync_token=str(done.get("SyncToken", "0")),
            digest=digest or form.digest,
            action=action,
        )
        return Sent(form=form, entry=entry, is_new=True)

    def _body(self, form: Form) -> Mapping[str, Any]:
        if not form.marked:
            return form.body
        note = f"{form.body.get('PrivateNote') or ''} {self._mark(form)}".strip()
        return {**form.body, "PrivateNote": note}

    def _mark(self, form: Form, *, version: bool = True) -> str:
        """What tells a document of ours, and of which version of its record; nothing more."""
        whose = sha256(f"{self.ledger.owner}\0{form.entity}\0{form.key}".encode()).hexdigest()[:16]
        return f"[sync {whose} {form.digest[:8]}]" if version else f"[sync {whose} "

    def _request_id(self, entity: str, key: str, digest: str, basis: str) -> str:
        words = "\0".join((self.ledger.owner, entity, key, digest, basis))
        return sha256(words.encode()).hexdigest()[:40]


VOIDED = "voided"
"""The version that the ledger notes of a document that was cancelled."""
_VOIDING = {"SalesReceipt": {"operation": "update", "include": "void"}}


@dataclass(frozen=True, slots=True)
class _There:
    """Objects that were found, by entity and field."""

    found: Mapping[tuple[str, str], Sequence[Record]]

    def of(self, form: Form) -> Sequence[Record]:
        """The objects that a form may be a second one of, by the surest field that finds any."""
        for field, value in form.sought:
            place = _PLACES.get(field, field)
            met = [
                one
                for one in self.found.get((form.entity, field), ())
                if str(find(one, place) or "").casefold() == value.casefold()
            ]
            if met:
                return met
        return ()


_PLACES = {"PrimaryEmailAddr": "PrimaryEmailAddr.Address"}
"""Where in an object the value is that a query names so."""


def _note(found: Record) -> str:
    return str(found.get("PrivateNote") or "")


def _may_be(form: Form, found: Record) -> bool:
    """Whether nothing that both have tells them apart."""
    if form.twin is None:
        return True
    ours, theirs = find(form.body, form.twin), find(found, form.twin)
    return not ours or not theirs or str(ours).casefold() == str(theirs).casefold()


def holds(current: Any, wanted: Any) -> bool:
    """Whether an object has all that was sent; QuickBooks adds fields and a line of its own."""
    if isinstance(wanted, Mapping):
        return isinstance(current, Mapping) and all(
            holds(current.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        lines = [one for one in current or () if find(one, "DetailType") != "SubTotalLineDetail"]
        return len(lines) == len(wanted) and all(
            holds(one, other) for one, other in zip(lines, wanted, strict=True)
        )
    if isinstance(wanted, Decimal | int) and not isinstance(wanted, bool):
        try:
            return Decimal(str(current)) == wanted
        except InvalidOperation:
            return False
    return bool(current == wanted) or (wanted in ("", None) and not current)


def _taken(form: Form, found: Record) -> str:
    field, value = form.sought[-1]
    return (
        f"{field} {value!r} belongs to another {form.entity} in QuickBooks (id {found['Id']}), "
        "which was not sent by this sync; give it another number there or here"
    )


def _gone(form: Form, identity: str) -> str:
    return (
        f"the {form.entity} with id {identity} that this record became is no longer in "
        "QuickBooks; it is not created a second time"
    )
