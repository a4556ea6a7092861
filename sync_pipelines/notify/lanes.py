"""Which targets are quick: some threads are kept for them, so that nobody else holds them up.

A target is a rule, whose webhook it is; for mail, which all rules send by one server, it is
the channel as a whole. One that nobody has tried lately is not known to be quick: what a
deliverer does not know when it starts, it reads from what others have delivered.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from sync_pipelines.catalog.delivering import Quick
from sync_pipelines.model.notification import Channel

SLOW_SECONDS = 2.0
"""Who takes so long over one message is slow."""

REMEMBERED_SECONDS = 600.0
"""For so long: one that is slow now and then does not get back among the quick each time."""

MOST_READ = 2_000
"""So many messages that others have delivered are looked at."""

MOST_QUICK = 10_000
"""So many are remembered; what has not been heard of for longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a turn keeps waiting for."""

    channel: Channel
    rule_id: UUID | None

    @classmethod
    def of(cls, channel: Channel, rule_id: UUID) -> "Target":
        """Where messages of a rule go."""
        return cls(channel, None if channel is Channel.EMAIL else rule_id)


@dataclass(slots=True)
class Lanes:
    """What was learnt of targets, in this process. For one thread.

    ``most_others`` is how many turns may run at once of what is not known to be quick.
    """

    most_others: int
    _quick: dict[Target, None] = field(default_factory=dict)
    _slow_until: dict[Target, float] = field(default_factory=dict)

    def note(self, target: Target, *, longest_seconds: float, now: float) -> None:
        """Somebody has sent to a target; ``now`` counts seconds from anywhere."""
        self._quick.pop(target, None)
        if longest_seconds >= SLOW_SECONDS:
            self._slow_until[target] = now + REMEMBERED_SECONDS
        elif self._slow_until.get(target, now) <= now:
            self._slow_until.pop(target, None)
            self._quick[target] = None
            if len(self._quick) > MOST_QUICK:
                del self._quick[next(iter(self._quick))]

    def quick(self) -> Quick:
        """What is quick, as far as is known."""
        return Quick(
            rules=frozenset(one.rule_id for one in self._quick if one.rule_id is not None),
            channels=frozenset(one.channel for one in self._quick if one.rule_id is None),
        )

    def room(self, running: Iterable[tuple[Target, float]]) -> int:
        """How many more of what is not known to be quick may begin.

        ``running`` are the turns that run, and for how many seconds each.
        """
        others = sum(
            target not in self._quick or seconds >= SLOW_SECONDS for target, seconds in running
        )
        return max(self.most_others - others, 0)
