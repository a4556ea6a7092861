"""Which targets are slow: they share a few threads, so that they hold up nobody but each other.

A target is a rule, whose webhook it is; for mail, which all rules send by one server, it is
the channel as a whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from sync_pipelines.catalog.delivering import Slow
from sync_pipelines.catalog.outbox import Delivery
from sync_pipelines.model.notification import Channel

SLOW_SECONDS = 2.0
"""Who takes so long over one message is slow."""

REMEMBERED_SECONDS = 600.0
"""For so long: one that is slow now and then does not get back among the quick each time."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a turn keeps waiting for."""

    channel: Channel
    rule_id: UUID | None

    @classmethod
    def of(cls, delivery: Delivery) -> "Target":
        """Where a message goes."""
        is_shared = delivery.channel is Channel.EMAIL
        return cls(delivery.channel, None if is_shared else delivery.rule_id)


@dataclass(slots=True)
class Lanes:
    """What was learnt of targets, in this process. For one thread."""

    most_slow: int
    _until: dict[Target, float] = field(default_factory=dict)

    def note(self, target: Target, *, longest_seconds: float, now: float) -> None:
        """Somebody has sent to a target; ``now`` counts seconds from anywhere."""
        if longest_seconds >= SLOW_SECONDS:
            self._until[target] = now + REMEMBERED_SECONDS

    def slow(self, now: float) -> Slow:
        """What is slow, as far as is known."""
        self._until = {target: until for target, until in self._until.items() if until > now}
        return Slow(
            rules=frozenset(one.rule_id for one in self._until if one.rule_id is not None),
            channels=frozenset(one.channel for one in self._until if one.rule_id is None),
        )

    def room(self, running: Iterable[tuple[Target, float]]) -> int:
        """How many more of what is slow may begin, beside turns that run for so many seconds."""
        slow = sum(target in self._until or seconds >= SLOW_SECONDS for target, seconds in running)
        return max(self.most_slow - slow, 0)
