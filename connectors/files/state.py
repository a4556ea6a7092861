"""What of a stream's objects has been read, as a state. Pure.

Laws: an object is read once a version; objects are read in the order of their times, so
that everything before a state's watermark has been seen, or is remembered as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Self

from connectors.contract import State
from connectors.files.config import Tracking
from connectors.files.stores import Object

STATE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """How far an append-only object has been read, and what its beginning was.

    ``head`` is a digest of its first ``head_bytes``; ``rows`` were in what was read.
    """

    offset: int
    rows: int
    head_bytes: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The objects that were read: ``seen`` are fingerprints by name."""

    tracking: Tracking
    late: timedelta
    watermark: datetime | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    grown: Mapping[str, Grown] = field(default_factory=dict)

    @classmethod
    def of(cls, state: State | None, tracking: Tracking, late: timedelta) -> Self:
        """What a state tells; ValueError when nobody understands it."""
        empty = cls(tracking=tracking, late=late)
        if state is None:
            return empty
        if state.version != STATE_VERSION:
            raise ValueError(f"version {state.version} is not {STATE_VERSION}")
        if state.watermark is None:
            return empty
        seen, grown = state.value.get("seen"), state.value.get("grown", {})
        if not isinstance(seen, Mapping) or not isinstance(grown, Mapping):
            raise ValueError("it does not say which objects were read")
        moment = datetime.fromisoformat(state.watermark)
        if moment.tzinfo is None:
            raise ValueError("its watermark has no zone")
        return replace(
            empty,
            watermark=moment.astimezone(UTC),
            seen={name: str(mark) for name, mark in seen.items()},
            grown={name: _grown(found) for name, found in grown.items()},
        )

    def is_new(self, found: Object) -> bool:
        """Whether this version of the object has not been read."""
        if found.name in self.seen:
            return self.seen[found.name] != fingerprint(found)
        oldest = self._oldest
        return oldest is None or found.modified_at >= oldest

    def after(self, read: Iterable[tuple[Object, Grown | None]], now: datetime) -> Progress:
        """With more objects read; a time in the future hides nothing that comes until then."""
        seen, grown, watermark = dict(self.seen), dict(self.grown), self.watermark
        for found, grew in read:
            seen[found.name] = fingerprint(found)
            if grew is not None:
                grown[found.name] = grew
            reached = min(found.modified_at, now)
            watermark = reached if watermark is None else max(watermark, reached)
        return replace(self, watermark=watermark, seen=seen, grown=grown)

    def kept(self, listed: Iterable[Object]) -> Progress:
        """Without objects that are gone, or so old that their time says enough."""
        oldest = self._oldest
        names = {
            one.name
            for one in listed
            if oldest is None or one.modified_at >= oldest or one.name in self.grown
        }
        return replace(
            self,
            seen={name: mark for name, mark in self.seen.items() if name in names},
            grown={name: one for name, one in self.grown.items() if name in names},
        )

    def state(self) -> State | None:
        """As a source's state; None where nothing was read."""
        if self.watermark is None:
            return None
        value: dict[str, object] = {
            "watermark": self.watermark.isoformat(),
            "seen": dict(sorted(self.seen.items())),
        }
        if self.grown:
            value["grown"] = {
                name: [one.offset, one.rows, one.head_bytes, one.head]
                for name, one in sorted(self.grown.items())
            }
        return State(version=STATE_VERSION, value=value)  # type: ignore[arg-type]

    @property
    def _oldest(self) -> datetime | None:
        """What is older has been read; None where that is known of each object alone."""
        if self.tracking is Tracking.EACH or self.watermark is None:
            return None
        return self.watermark - self.late


def fingerprint(found: Object) -> str:
    """Changes with the version."""
    return blake2b(f"{found.size} {found.version}".encode(), digest_size=8).hexdigest()


def _grown(found: object) -> Grown:
    if not isinstance(found, list | tuple) or len(found) != 4:
        raise ValueError("it does not say how far an object was read")
    offset, rows, head_bytes, head = found
    return Grown(offset=int(offset), rows=int(rows), head_bytes=int(head_bytes), head=str(head))
