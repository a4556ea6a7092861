"""Dagster's queue of runs, looked at twice as often as Dagster's own settings can say.

Named by `dagster.yaml`. Its interval is in whole seconds there; the daemon itself rests for
half a second at a time, and that is what a run that somebody waits for should wait at most.
"""

from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

DEQUEUE_SECONDS = 0.4
"""Less than the daemon's rest: then it rests once between two looks."""


class PromptCoordinator(QueuedRunCoordinator):
    """Dagster's coordinator, with a shorter interval."""

    @property
    def dequeue_interval_seconds(self) -> float:  # type: ignore[override]
        """How long the daemon pauses between two looks, at least."""
        return DEQUEUE_SECONDS
