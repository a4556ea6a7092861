"""A dead letter: what could not be done, kept until somebody decides about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


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
