"""What a connector may be lent by whoever runs it: a shared budget of calls, kept tokens.

Law: a connector works without any of it, alone and within its own limits. Lent a budget,
it takes from it before it calls, so that two runs of one connection together stay within
what the provider allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most so many calls in any span of that length."""

    calls: int
    per: timedelta = timedelta(seconds=1)

    def __post_init__(self) -> None:
        if self.calls < 1 or self.per <= timedelta(0):
            raise ValueError(f"a rate is at least one call in some time, not {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was seen since the budget was last asked.

    ``remaining`` calls are left until ``resets_at``, as the provider said; None is
    unknown. ``throttles`` counts the answers that asked to slow down; ``waited`` is how long
    calls stood still for either.
    """

    calls: int = 0
    throttles: int = 0
    waited: timedelta = timedelta(0)
    remaining: int | None = None
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """So many calls may be made, all of them within ``lasts``; none before ``wait``."""

    calls: int
    lasts: timedelta
    wait: timedelta = timedelta(0)


class Budget(Protocol):
    """How often one connection may still call, shared by all who use it now."""

    def take(self, bucket: str, rate: Rate | None, *, wanted: int, heard: Heard) -> Lease:
        """Up to ``wanted`` calls for now, or how long to wait; safe from any thread.

        Without a ``rate`` only what the provider said is obeyed.
        """
        ...

    def tell(self, bucket: str, heard: Heard) -> None:
        """What was seen since, when nothing more is wanted."""
        ...

    def enter(self, most: int) -> int | None:
        """One of ``most`` places, for one call that is under way; safe from any thread.

        None when for a brief while there was none: ask again.
        """
        ...

    def leave(self, place: int) -> None:
        """The call that had this place is over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What an OAuth 2 server granted. Its repr shows none of it.

    ``origin`` tells from which configuration it came, so that a connection that was
    configured anew does not go on with the old grant. ``extra`` is what else the
    provider returned with it: a realm, a shop.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    origin: str = ""
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)


class TokenStore(Protocol):
    """Where a connection's tokens are kept."""

    def load(self) -> Tokens | None:
        """What was saved last; None if nothing was."""
        ...

    def lock(self) -> AbstractContextManager[None]:
        """Nobody else, in whatever process, refreshes this connection's tokens meanwhile.

        What was saved inside is durable when the block has ended.
        """
        ...

    def save(self, tokens: Tokens) -> None:
        """Keep these; only inside `lock`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is lent to one opened connection.

    ``allow_private`` False: private addresses are refused even where the connection
    asks for them.
    """

    budget: Budget | None = None
    tokens: TokenStore | None = None
    allow_private: bool = True


@runtime_checkable
class Surrounded(Protocol):
    """What a source or destination may be besides: one that takes what it is lent."""

    def surround(self, surroundings: Surroundings) -> None:
        """Use these from now on; called once, before anything else."""
        ...
