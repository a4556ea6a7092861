"""A dead letter: what could not be done, kept until somebody decides about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync_pipelines.model.execution import Request


class LetterKind(StrEnum):
    """What it was."""

    EXECUTION = "execution"
    EVENT = "event"


class LetterStatus(StrEnum):
    """Where it stands. `SUPERSEDED`: a later execution has done the same work."""

    OPEN = "open"
    REDRIVEN = "redriven"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An execution that failed for good, or an event that nothing could be made of.

    ``cause`` is the error's class; ``payload`` is what was asked for, or what the event
    said; ``redriven_as`` is the execution that tried again.
    """

    id: UUID
    tenant_id: UUID
    kind: LetterKind
    sync_id: UUID | None = None
    sync_key: str | None = None
    execution_id: UUID | None = None
    event_id: UUID | None = None
    cause: str
    reason: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    status: LetterStatus = LetterStatus.OPEN
    created_at: datetime
    closed_at: datetime | None = None
    redriven_as: UUID | None = None


def covers(done: Request, wanted: Request) -> bool:
    """Whether an execution that completed has done what another was asked for, and more.

    One that went on from the state has not read again what a full one, or a window,
    would have.
    """
    if done == wanted:
        return True
    if done.into != wanted.into:
        return False
    if _is_bounded(done) or (done.streams and not set(wanted.streams) <= set(done.streams)):
        return False
    if done.streams and not wanted.streams:
        return False
    return done.full or not (wanted.full or _is_bounded(wanted))


def _is_bounded(request: Request) -> bool:
    return request.window_start is not None or request.window_end is not None
