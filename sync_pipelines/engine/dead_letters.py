"""Dead letters: burying what cannot be done, and trying it again when somebody says so.

Laws:

* What failed for good is never lost: it is a letter, with what was asked for and why
  nothing came of it, until it is redriven, discarded, or done by a later execution.
* A letter is redriven once, however many people ask at once. Letters that ask for the
  same become one execution.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection as Db

from sync_pipelines.catalog import dead_letters, endings, executions
from sync_pipelines.catalog.codec import request_from_json, request_to_json
from sync_pipelines.catalog.due import executions_since_for_all_tenants
from sync_pipelines.catalog.endings import Failed
from sync_pipelines.catalog.tenants import find_tenant
from sync_pipelines.engine.deciding import HOUR
from sync_pipelines.engine.dispatch import LimitReachedError
from sync_pipelines.engine.outcome import ErrorClass
from sync_pipelines.model.dead_letter import DeadLetter, LetterKind, LetterStatus, covers
from sync_pipelines.model.event import Event
from sync_pipelines.model.execution import Execution, Request, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """What came of redriving: the letters that were open, and what they have become.

    ``events`` is how many events are processed again; what they start is up to their
    schedules.
    """

    letters: tuple[UUID, ...] = ()
    executions: tuple[UUID, ...] = ()
    events: int = 0


def bury(db: Db, failed: Execution) -> None:
    """Make a dead letter of an execution that failed for good."""
    how = endings.how_it_failed(db, failed)
    dead_letters.put_execution(
        db,
        failed,
        cause=str(how.details.get("error_class", ErrorClass.UNEXPECTED)),
        reason=how.message or "it failed without a word",
        payload=_payload(failed, how),
    )


def bury_event(db: Db, event: Event, *, cause: str, reason: str, now: datetime) -> None:
    """Make a dead letter of an event that could not be processed, and mark the event dead.

    ``cause`` groups letters that are redriven together; ``reason`` is for people.
    """
    dead_letters.put_event(db, event, cause=cause, reason=reason, now=now)


def supersede(db: Db, done: Execution, now: datetime) -> None:
    """Close the letters of a sync whose work an execution that completed has done too.

    Events only say that something has changed: it has been read now.
    """
    assert done.completed_at is not None
    letters = dead_letters.lock_open_of_sync(
        db, done.sync_id, tenant_id=done.tenant_id, before=done.completed_at
    )
    covered = [letter for letter in letters if covers(done.request, _request(letter))]
    if covered:
        dead_letters.close(db, covered, LetterStatus.SUPERSEDED, now=now)


def redrive(db: Db, letter_ids: Iterable[UUID], *, tenant_id: UUID, now: datetime) -> Redriven:
    """Try again what these letters of a tenant ask for, as far as they are open.

    One execution for all letters of a sync that ask for the same. Events are processed
    anew; the letter of one that is gone stays open. `LimitReachedError`, and nothing is
    changed, when the tenant may not have so many executions in this hour.
    """
    letters = dead_letters.lock_open(db, letter_ids, tenant_id=tenant_id)
    alike: dict[tuple[UUID, Request], list[DeadLetter]] = {}
    for letter in letters:
        if letter.kind is LetterKind.EXECUTION and letter.sync_id is not None:
            alike.setdefault((letter.sync_id, _request(letter)), []).append(letter)
    if alike:
        _check_hour(db, letters, count=len(alike), tenant_id=tenant_id, now=now)
    started = [
        _start(db, same, sync_id=sync_id, request=request, now=now)
        for (sync_id, request), same in alike.items()
    ]
    again = _give_back(db, letters, tenant_id=tenant_id, now=now)
    moved = [letter for same in alike.values() for letter in same] + again
    return Redriven(
        letters=tuple(letter.id for letter in moved),
        executions=tuple(started),
        events=len(again),
    )


def discard(
    db: Db, letter_ids: Iterable[UUID], *, tenant_id: UUID, now: datetime
) -> tuple[UUID, ...]:
    """Close letters of a tenant that nobody wants to try again; those that were open."""
    letters = dead_letters.lock_open(db, letter_ids, tenant_id=tenant_id)
    dead_letters.close(db, letters, LetterStatus.DISCARDED, now=now)
    return tuple(letter.id for letter in letters)


def _start(
    db: Db, letters: Sequence[DeadLetter], *, sync_id: UUID, request: Request, now: datetime
) -> UUID:
    """One execution for letters that ask for the same."""
    tried = "a dead letter" if len(letters) == 1 else f"{len(letters)} dead letters"
    execution = executions.create(
        db,
        tenant_id=letters[0].tenant_id,
        sync_id=sync_id,
        trigger=Trigger.RETRY,
        now=now,
        request=request,
        metadata={
            "reason": f"{tried} tried again",
            "dead_letters": [str(letter.id) for letter in letters],
        },
    )
    dead_letters.close(db, letters, LetterStatus.REDRIVEN, now=now, redriven_as=execution)
    return execution


def _give_back(
    db: Db, letters: Sequence[DeadLetter], *, tenant_id: UUID, now: datetime
) -> list[DeadLetter]:
    events = [letter for letter in letters if letter.kind is LetterKind.EVENT]
    if not events:
        return []
    given = dead_letters.give_back(db, events, tenant_id=tenant_id)
    again = [letter for letter in events if letter.event_id in given]
    dead_letters.close(db, again, LetterStatus.REDRIVEN, now=now)
    return again


def _check_hour(
    db: Db, letters: Sequence[DeadLetter], *, count: int, tenant_id: UUID, now: datetime
) -> None:
    (tenant, *_) = (letter.sync_key.partition("/")[0] for letter in letters if letter.sync_key)
    most = find_tenant(db, tenant).limits.executions_per_hour
    if most is None:
        return
    used = executions_since_for_all_tenants(db, [tenant_id], now - HOUR).get(tenant_id, 0)
    if used + count > most:
        raise LimitReachedError(
            f"tenant {tenant!r} may have {most} executions an hour and has had {used}; these "
            f"letters need {count} more: choose fewer, or try again later"
        )


def _payload(failed: Execution, how: Failed) -> Mapping[str, Any]:
    return {
        "request": request_to_json(failed.request),
        "trigger": str(failed.trigger),
        "schedule": how.schedule,
        "due_at": failed.due_at.isoformat() if failed.due_at else None,
        "streams": how.details.get("streams", {}),
        "attempts": [
            {name: attempt.get(name) for name in ("attempt", "ended_at", "error_class", "error")}
            for attempt in how.attempts
        ],
    }


def _request(letter: DeadLetter) -> Request:
    return request_from_json(letter.payload.get("request", {}))
