"""Webhooks out: versioned JSON, signed as Standard Webhooks 1.0.0 asks.

Laws:

* The id is the same in every attempt, by which the receiver knows what it has had.
* The address that was checked is the one connected to, and no redirect is followed.
* 2xx within `TIMEOUT_SECONDS`, from the first byte to the last of its head, is the only yes.
  410 means: never again. What an answer goes on to say is not waited for.
"""

import json
import ssl
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from connectors.errors import ConfigError
from connectors.http.addresses import GuardedTransport, Resolve, system_resolve
from connectors.webhooks.proof import Encoding, signature
from sync_pipelines.model.notification import Rule
from sync_pipelines.notify.deadlines import BoundedBackend, within
from sync_pipelines.notify.sending import DeliveryError, Outgoing

TIMEOUT_SECONDS = 10.0
BODY_SECONDS, MOST_BODY = 0.5, 65_536
"""So much of an answer is read, so that its connection is good for another message."""

CONNECTIONS = 20
PREFIX = "whsec_"


class WebhookSender:
    """Sends to receivers of webhooks. To be closed."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        allow_private: bool = False,
        resolve: Resolve = system_resolve,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """``allow_private`` lets receivers be inside this network."""
        self._clock = clock
        self._seconds = timeout_seconds
        self._client = httpx.Client(
            transport=GuardedTransport(
                connections=CONNECTIONS,
                allow_private=allow_private,
                encrypted=True,
                resolve=resolve,
                backend=BoundedBackend,
            ),
            timeout=timeout_seconds,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "sync-pipelines"},
        )

    def close(self) -> None:
        """Close pooled connections."""
        self._client.close()

    def send(self, message: Outgoing) -> str:
        """Post the payload, signed."""
        body = json.dumps({**message.payload, "url": message.url}, sort_keys=True).encode()
        now = self._clock()
        headers = {
            "Content-Type": "application/json",
            **signed(message.rule, message.event_id, body, now=now),
        }
        try:
            return self._post(message.rule.target, body, headers, now)
        except httpx.TimeoutException as error:
            raise DeliveryError("no answer in time") from error
        except (httpx.HTTPError, ssl.SSLError) as error:
            raise DeliveryError(f"no connection: {error}") from error
        except ConfigError as error:
            # Why is for whoever runs the installation; what it sets is not the tenant's to set.
            said = str(error).partition(";")[0]
            raise DeliveryError(said) from error

    def _post(self, url: str, body: bytes, headers: dict[str, str], now: datetime) -> str:
        request = self._client.build_request("POST", url, content=body, headers=headers)
        with within(self._seconds):
            response = self._client.send(request, stream=True)
        with closing(response):
            said = _judged(response, now)
            _read_on(response)
        return said


def signed(rule: Rule, event_id: str, body: bytes, *, now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks: one signature for each secret that is good now."""
    stamp = str(int(now.timestamp()))
    content = f"{event_id}.{stamp}.".encode() + body
    keys = [
        b64decode(one.value.removeprefix(PREFIX))
        for one in rule.signing
        if one.until is None or now < one.until
    ]
    signatures = [f"v1,{signature(key, content, encoding=Encoding.BASE64)}" for key in keys]
    headers = {"webhook-id": event_id, "webhook-timestamp": stamp}
    return {**headers, "webhook-signature": " ".join(signatures)} if signatures else headers


def _read_on(response: httpx.Response) -> None:
    """Read the rest of a yes, if it is short and comes soon; it stays a yes if not."""
    read = 0
    with suppress(httpx.HTTPError), within(BODY_SECONDS):
        for part in response.iter_raw():
            read += len(part)
            if read > MOST_BODY:
                return


def _judged(response: httpx.Response, now: datetime) -> str:
    """What the receiver said, if that was a yes. Of its answer only the status is kept."""
    said = f"{response.status_code} {response.reason_phrase}".strip()
    if response.is_success:
        return said
    if response.status_code == httpx.codes.GONE:
        raise DeliveryError(f"{said}: the receiver wants no more of it", is_gone=True)
    if response.is_redirect:
        raise DeliveryError(f"{said}: redirects are not followed; store the new address")
    raise DeliveryError(said, retry_after=_asked(response.headers.get("retry-after"), now))


def _asked(written: str | None, now: datetime) -> timedelta | None:
    """What Retry-After asks for: seconds, or a date (RFC 9110, 10.2.3)."""
    if not written:
        return None
    if written.isdecimal():
        return timedelta(seconds=min(int(written), _MOST_SECONDS))
    try:
        until = parsedate_to_datetime(written)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(until - now, timedelta(0)), timedelta(seconds=_MOST_SECONDS))


_MOST_SECONDS = 24 * 60 * 60
"""A receiver that asks for more is asked again after a day anyway."""
