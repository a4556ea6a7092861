"""How long what has happened is kept, in the catalog and in Dagster.

Laws: what goes on is never forgotten; of every sync the last successes and failures stay,
however old they are; what once may be forgotten may be forgotten ever after.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sync_pipelines.model.execution import Status


class Ending(StrEnum):
    """How something ended, as far as keeping it is concerned."""

    SUCCESS = "success"
    FAILURE = "failure"
    OTHER = "other"


ENDINGS = {
    Status.COMPLETED: Ending.SUCCESS,
    Status.PARTIAL: Ending.FAILURE,
    Status.FAILED: Ending.FAILURE,
    Status.CANCELLED: Ending.OTHER,
}
"""A status that is not here has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Forgotten is what ended before ``ended`` and came to be before ``created``.

    ``created`` None: nothing is.
    """

    ended: datetime
    created: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """For how long, and how much at least.

    Every execution is kept for ``executions_for``; of each sync the last ``successes`` and
    ``failures`` for ever. Decisions are kept for ``decisions_for``, and each schedule's
    last for ever. What was told, and incidents that are over, are kept for ``notices_for``.
    Events that were done with are kept, and known again, for ``events_for``:
    longer than any provider sends them again. Dagster's runs, of which executions are the
    summary, are kept for ``runs_for``, those that failed for ``failed_runs_for``.
    """

    executions_for: timedelta = timedelta(days=30)
    successes: int = 100
    failures: int = 50
    decisions_for: timedelta = timedelta(days=90)
    notices_for: timedelta = timedelta(days=90)
    events_for: timedelta = timedelta(days=30)
    runs_for: timedelta = timedelta(days=2)
    failed_runs_for: timedelta = timedelta(days=14)

    def __post_init__(self) -> None:
        shortest = min(
            *(self.executions_for, self.decisions_for, self.notices_for, self.events_for),
            *(self.runs_for, self.failed_runs_for),
        )
        if shortest <= timedelta(0):
            raise ValueError(f"history is kept for more than {shortest}: at least an hour or so")
        if self.successes < 1 or self.failures < 1:
            raise ValueError("of each sync the last success and the last failure are always kept")

    def at_least(self, ending: Ending) -> int:
        """How many of a sync's executions that ended so are kept, however old."""
        return {Ending.SUCCESS: self.successes, Ending.FAILURE: self.failures}.get(ending, 0)

    def bound(self, ending: Ending, *, now: datetime, oldest_kept: datetime | None) -> Bound:
        """What to forget of a sync's executions that ended so.

        ``oldest_kept`` is when the oldest of the last `at_least` came to be; None where
        there are not so many.
        """
        created = oldest_kept if self.at_least(ending) else now
        return Bound(ended=now - self.executions_for, created=created)
