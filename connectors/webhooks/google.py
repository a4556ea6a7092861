"""Google's watch channels (Calendar, Drive): no body and no signature, but a token.

Source: Google Calendar's guide "Push notifications". They come by HTTPS from a channel
that is made with a token and expires, not by Cloud Pub/Sub (trap T12). The first message
of a channel, ``sync``, says only that it is there; numbers increase, with gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from connectors.webhooks.contract import Notice, Received, Scheme, Verdict
from connectors.webhooks.proof import by_token
from connectors.webhooks.reading import bounded, needed, word

TOKEN = "x-goog-channel-token"


@dataclass(frozen=True, slots=True)
class GoogleChannel(Scheme):
    """Changes of what a channel watches."""

    @property
    def secret_headers(self) -> frozenset[str]:
        """The channel's token."""
        return frozenset({TOKEN})

    def verify(self, request: Received, secrets: Sequence[str]) -> Verdict:
        """By ``X-Goog-Channel-Token``."""
        return by_token(request.headers.get(TOKEN), secrets)

    def read(self, request: Received) -> Sequence[Notice]:
        """That something of the resource changed; nothing for ``sync``."""
        named = request.headers
        channel = needed(named.get("x-goog-channel-id"), "X-Goog-Channel-ID")
        number = needed(named.get("x-goog-message-number"), "X-Goog-Message-Number")
        state = needed(named.get("x-goog-resource-state"), "X-Goog-Resource-State")
        if state == "sync":
            return []
        kind, watched = _watched(named.get("x-goog-resource-uri", ""))
        return [
            Notice(
                event_id=bounded(f"{channel}:{number}"),
                event_type=bounded(f"{kind}.{state}"),
                entity_type=kind,
                entity_id=watched or word(named.get("x-goog-resource-id")),
                streams=(kind,) if kind != "resource" else (),
                data={"channel": channel, "state": state},
            )
        ]


def _watched(uri: str) -> tuple[str, str | None]:
    """What kind of things a channel watches, and whose: ``events`` of a calendar."""
    try:
        parts = [unquote(part) for part in urlsplit(uri).path.split("/") if part]
    except ValueError:
        return "resource", None
    if len(parts) >= 3 and parts[-3] == "calendars":
        return bounded(word(parts[-1]) or "resource"), word(parts[-2])
    return "resource", None
