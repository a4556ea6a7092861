"""What every channel does: send one message, or say why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from sync_pipelines.model.notification import Channel, Rule, Topic


class DeliveryError(Exception):
    """A message did not arrive. The text is kept as a receipt, and holds no secret.

    ``retry_after`` is the least wait that the other side asked for. ``is_final``: trying
    again cannot help. ``is_gone``: nor can any other message of this rule.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: timedelta | None = None,
        is_final: bool = False,
        is_gone: bool = False,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.is_final = is_final or is_gone
        self.is_gone = is_gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message as it leaves: ``event_id`` is the same in every attempt.

    ``payload`` tells how things stand now, of an incident that has grown since.
    Times are told in ``zone``. ``unsubscribe`` is the address at which the recipient can
    say that it is enough.
    """

    event_id: str
    topic: Topic
    recipient: str
    payload: Mapping[str, Any]
    rule: Rule
    url: str
    zone: str
    unsubscribe: str


class Sender(Protocol):
    """A channel."""

    def send(self, message: Outgoing) -> str:
        """Send a message; what the other side said. `DeliveryError` if it did not take it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """The channels, and where the product is: ``base_url`` without a slash at its end."""

    by_channel: Mapping[Channel, Sender]
    base_url: str
