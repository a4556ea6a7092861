"""What a scheme takes and gives: a request, a verdict, notices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from connectors.errors import DataError

REPLAY_WINDOW = timedelta(minutes=5)
"""How far a signed time may lie from now: Stripe's and Standard Webhooks' usual tolerance."""


class MalformedError(DataError):
    """A request that is not what its scheme describes."""


class Verdict(StrEnum):
    """Whether a request is genuine; if not, why, for whoever looks at the endpoint."""

    GENUINE = "genuine"
    UNSIGNED = "unsigned"
    FORGED = "forged"
    STALE = "stale"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came ``at`` an instant; the names of ``headers`` in lower case."""

    at: datetime
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a provider's handshake wants to hear, with status 200."""

    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that is said to have changed.

    ``event_id`` is the provider's own where it has one that is its alone, else made of
    what the notice says; 1 to 255 characters, as ``event_type``. ``streams`` are the names
    that the streams of such records usually have; empty where that is not said. ``data``
    is what conditions may ask about, as JSON that PostgreSQL can keep.
    """

    event_id: str
    event_type: str
    entity_type: str | None = None
    entity_id: str | None = None
    streams: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


class Scheme(Protocol):
    """How one kind of provider proves who it is, and says what changed.

    ``issues_secret``: the provider makes up the secret, not we. ``secret_headers`` hold the
    secret itself, not only something made with it: they are never kept.
    """

    issues_secret: ClassVar[bool] = False

    @property
    def secret_headers(self) -> frozenset[str]:
        """Lower-case names."""
        return frozenset()

    def greet(self, request: Received) -> Reply | None:
        """The answer to a provider's handshake, which proves nothing; None if it is none."""
        return None

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """Whether whoever sent this knows one of the secrets, and means now."""
        ...

    def read(self, request: Received) -> Sequence[Notice]:
        """What has changed, perhaps nothing; `MalformedError` if it does not say so.

        The same request always gives the same notices.
        """
        ...
