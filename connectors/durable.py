"""What a destination has made durable: a position in the source, and counts.

A part of `connectors.contract`, from where everyone takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a source needs in order to continue; only the source looks inside.

    The entry ``watermark``, where there is one, is what people are shown.
    """

    version: int
    value: Mapping[str, Json]

    @property
    def watermark(self) -> str | None:
        """The position as a person reads it, if it can be read at all."""
        mark = self.value.get("watermark")
        return None if mark is None else str(mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greatest:
    """A state that only the destination can tell: the greatest ``column`` it has staged.

    For encodings that nobody decodes on the way. It becomes
    ``State(version, {"watermark": <text>})``, never less than what is committed and
    never more than ``ceiling``, and changes nothing when no row was staged.
    """

    column: str
    version: int
    ceiling: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What one execution has done to one stream so far, durably."""

    processed: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    rejected: int = 0
    bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            processed=self.processed + other.processed,
            created=self.created + other.created,
            updated=self.updated + other.updated,
            deleted=self.deleted + other.deleted,
            rejected=self.rejected + other.rejected,
            bytes=self.bytes + other.bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a destination has made durable for one stream.

    ``counts`` belong to ``execution``, and go on when the same execution returns;
    ``finished`` says that this execution wrote all it had to.
    """

    state: State | None = None
    execution: str | None = None
    finished: bool = False
    counts: Counts = field(default_factory=Counts)
    committed_at: datetime | None = None

    def resumed_by(self, execution: str, *, restart: bool = False) -> Committed:
        """What ``execution`` continues from.

        Counts are kept only if they are its own. With ``restart`` so is the state:
        a re-sync begins at the beginning, but goes on where its own attempt ended.
        """
        if self.execution == execution:
            return self
        fresh = replace(self, execution=execution, finished=False, counts=Counts())
        return replace(fresh, state=None) if restart else fresh
