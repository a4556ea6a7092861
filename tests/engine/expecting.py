"""What should have been decided on a schedule's instants, worked out by brute force.

Instant by instant, from each schedule as it stood, with no help of the rooms that decide.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from sync_pipelines.model.cadence import Adaptive, Cadence, ClockChange
from sync_pipelines.model.policy import Policies
from sync_pipelines.timing.bars import Cause, bar_at
from sync_pipelines.timing.decisions import Outcome
from sync_pipelines.timing.firings import Timetable
from sync_pipelines.timing.instants import instants
from sync_pipelines.timing.zones import find_zone

LOOK_AHEAD = timedelta(days=20)


@dataclass(frozen=True)
class Version:
    """A schedule as it stood for a while; ``is_open`` unless it or its sync is switched off.

    ``learns`` is the adaptive cadence of which ``cadence`` is the present interval.
    """

    id: UUID
    cadence: Cadence
    zone: str
    rules: ClockChange
    policies: Policies
    anchor: datetime
    is_open: bool
    learns: Adaptive | None = None

    @cached_property
    def offset(self) -> timedelta:
        """How much later than due it starts."""
        table = Timetable(
            id=self.id,
            cadence=self.cadence,
            zone=self.zone,
            policies=self.policies,
            anchor=self.anchor,
        )
        return table.offset

    @property
    def slots(self) -> tuple[object, ...]:
        """What names its instants."""
        return self.cadence, self.zone, self.rules, self.learns

    def due(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Its instants, one by one."""
        yield from instants(
            self.cadence, self.zone, self.rules, after=after, until=until, anchor=self.anchor
        )

    def bar(self, due_at: datetime) -> Cause | None:
        """What keeps the instant from starting anything."""
        if self.is_open:
            found = bar_at(self.policies, find_zone(self.zone), due_at + self.offset)
            return found.cause if found else None
        ends_at, starts_at = self.policies.ends_at, self.policies.starts_at
        at = due_at + self.offset
        if ends_at is not None and at >= ends_at:
            return Cause.ENDED
        return Cause.NOT_STARTED if starts_at is not None and at < starts_at else Cause.PAUSED

    def next_start(self, after: datetime) -> datetime | None:
        """When it may start something next, as far as anybody looks."""
        if not self.is_open or (self.policies.pause and self.policies.pause.until is None):
            return None
        for due_at in self.due(after, after + LOOK_AHEAD):
            cause = self.bar(due_at)
            if cause is Cause.ENDED:
                return None
            if cause is None:
                return due_at + self.offset
        return None


@dataclass
class Followed:
    """A schedule and what is expected of it: the instants up to ``cut``, with what bars them."""

    key: str
    name: str
    version: Version
    cut: datetime
    past: list[tuple[datetime, Cause | None]] = field(default_factory=list)
    is_removed: bool = False

    def expected(self, until: datetime) -> list[tuple[datetime, Cause | None]]:
        """Every instant that should have its decision, of all that the schedule has been."""
        due = self.version.due(self.cut, until)
        self.past += ((due_at, self.version.bar(due_at)) for due_at in due)
        self.cut = max(self.cut, until)
        return self.past

    def close(self, now: datetime, decided_until: datetime) -> None:
        """All that was due before a change belongs to the schedule as it stood."""
        self.expected(max(decided_until, now - self.version.offset))

    def become(self, version: Version, now: datetime) -> None:
        """From the cut on it is another; new slots count from now on only."""
        if version.slots != self.version.slots:
            self.cut = max(self.cut, now - version.offset)
        self.version = version


def covered(rows: list, expected: list[tuple[datetime, Cause | None]], one: Followed) -> None:
    """Each instant by one row, in order, with nothing between; and none that is barred starts."""
    place = 0
    for row in rows:
        instants_of_row = expected[place : place + row["count"]]
        place += row["count"]
        ends = [due_at for due_at, _ in (instants_of_row[:1] + instants_of_row[-1:])]
        assert ends == [row["first_due_at"], row["due_at"]], (row, one)
        causes = {cause for _, cause in instants_of_row}
        if Outcome(row["outcome"]).starts or row["outcome"] == Outcome.COLLAPSED:
            assert causes == {None}, (row, one)
        elif causes != {None}:
            assert causes == {row["cause"]}, (row, one)
    assert place == len(expected), (expected[place], one)
