"""What a comparison consists of: who takes part, doing what, within which budget."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.task import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a figure must keep to."""

    at_most: float | None = None
    at_least: float | None = None

    def holds(self, found: float) -> bool:
        """Whether it does."""
        return (self.at_most is None or found <= self.at_most) and (
            self.at_least is None or found >= self.at_least
        )

    def __str__(self) -> str:
        """``at most 25``."""
        limits = (("at most", self.at_most), ("at least", self.at_least))
        return ", ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What must not be exceeded: a ratio to the peer, milliseconds, or memory of its own.

    ``slowest`` and ``cpu`` are milliseconds too: of the slowest repetition, and of a core.
    """

    ratio: float | None = None
    milliseconds: float | None = None
    slowest: float | None = None
    cpu: float | None = None
    own_mb: float | None = None
    figures: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One that takes turns with the others; ``prepare`` is not measured."""

    name: str
    run: Callable[[], Measure]
    prepare: Callable[[], None]
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Contenders that do the same work. ``check`` raises if their data differ.

    ``rounds`` None: as many as were asked for.
    """

    name: str
    title: str
    rows: int
    contenders: Sequence[Contender]
    before_round: Callable[[], None]
    check: Callable[[], None]
    rounds: int | None = None


class WrongDataError(Exception):
    """A contender's copy is not its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is moved."""

    rows: int
    large: bool = False

    @property
    def changed(self) -> int:
        """Rows of one incremental sync."""
        return max(self.rows // 20, 5)
