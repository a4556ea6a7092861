"""The one way by which a connector speaks HTTP.

Laws:

* A call is tried again only while its budget of tries and waiting lasts, and only if it
  can be repeated. What the provider asks to wait is waited, or handed on as ``retry_after``.
* Credentials go to the origin of the base URL and nowhere else; redirects are not followed.
* An answer is read to its end, and never beyond its cap in bytes or time.
* What is raised or logged contains no secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import BoundedSemaphore, Event
from typing import Protocol, TypeVar, runtime_checkable
from urllib.parse import urljoin

import httpx
import structlog

from connectors.errors import (
    AuthError,
    ConfigError,
    ConnectorError,
    RateLimitedError,
    TransientError,
)
from connectors.http.addresses import GuardedTransport, Resolve, system_resolve
from connectors.http.call import Answer, Call, origin
from connectors.http.outside import Outside
from connectors.http.pace import PATIENCE, LocalBudget, Pacer
from connectors.http.redact import Redactor, shown_url
from connectors.http.refusals import refusal
from connectors.http.signals import Left, date_of, left
from connectors.surroundings import Budget, Rate

log = structlog.get_logger()

AGENT = "sync-pipelines"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection's client keeps to. Durations are seconds.

    ``concurrency`` calls are under way at a time, and ``together`` over all clients that were
    lent the connection's budget; None is no limit.
    """

    rate: Rate | None = None
    concurrency: int = 4
    together: int | None = None
    tries: int = 5
    waiting_seconds: float = 60.0
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 20.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    answer_seconds: float = 120.0
    answer_bytes: int = 64 * 1024 * 1024
    pages: int = 100_000


class Signer(Protocol):
    """Puts credentials on calls."""

    def sign(self, call: Call, url: str) -> Call:
        """The call with credentials; ``url`` is where it goes, without its parameters."""
        ...

    def renew(self, refused: Call) -> bool:
        """After a 401: whether there are new credentials now, so that it is worth a try."""
        ...

    def secrets(self) -> Sequence[str]:
        """What must not be shown, as it is now."""
        ...


@runtime_checkable
class Dated(Protocol):
    """What a signer may be besides: one whose signature tells the time."""

    def told(self, apart: timedelta) -> None:
        """The provider's clock is so far ahead of ours, as its last answer said."""
        ...


class Unsigned:
    """No credentials."""

    def sign(self, call: Call, url: str) -> Call:
        """The call as it is."""
        return call

    def renew(self, refused: Call) -> bool:
        """There is nothing to renew."""
        return False

    def secrets(self) -> Sequence[str]:
        """None."""
        return ()


def accept_all(answer: Answer) -> ConnectorError | None:
    """No success is a failure in disguise."""
    return None


@dataclass(slots=True, kw_only=True)
class HttpClient:
    """Speaks to one base URL; safe to use from several threads.

    ``judge`` sees every answer before its status is looked at, and may return the error
    that it stands for in this provider's ways: a 403 that means "slow down", a 200 with a
    fault inside. What it returns None for is judged by its status.
    """

    base_url: str
    signer: Signer = field(default_factory=Unsigned)
    limits: Limits = field(default_factory=Limits)
    headers: Sequence[tuple[str, str]] = ()
    budget: Budget | None = None
    allow_private: bool = False
    judge: Callable[[Answer], ConnectorError | None] = accept_all
    outside: Outside = field(default_factory=Outside)
    resolve: Resolve = system_resolve
    _stopped: Event = field(default_factory=Event, init=False)
    _pacer: Pacer = field(init=False)
    _gate: BoundedSemaphore = field(init=False)
    _transport: GuardedTransport = field(init=False)
    _behind: timedelta = field(default=timedelta(0), init=False)

    def __post_init__(self) -> None:
        self._gate = BoundedSemaphore(self.limits.concurrency)
        self._transport = GuardedTransport(
            connections=self.limits.concurrency,
            allow_private=self.allow_private,
            encrypted=origin(self.base_url)[0] == "https",
            resolve=self.resolve,
        )
        self._pacer = Pacer(
            budget=self.budget or LocalBudget(now=self.outside.now),
            rate=self.limits.rate,
            now=self.outside.now,
            sleep=self._sleep,
            most=self.limits.concurrency,
            together=self.limits.together,
        )

    def get(self, path: str, **params: object) -> Answer:
        """GET with these parameters."""
        return self.send(Call(path=path).put(params))

    def send(self, call: Call) -> Answer:
        """The answer, a success; raises what `connectors.errors` has for everything else."""
        return self.fetch(call, lambda answer: answer)

    def fetch(self, call: Call, read: Callable[[Answer], T]) -> T:
        """What ``read`` makes of the answer; a `TransientError` of its own is tried again, too."""
        url = self.url_of(call)
        renewed = False
        waited = 0.0
        failed = 0
        while True:
            signed = self.signer.sign(call, url)
            try:
                return read(self._once(signed, url))
            except AuthError as error:
                if renewed or not self.signer.renew(signed):
                    raise self._redacted(error) from None
                renewed = True
            except TransientError as error:
                failed += 1
                wait = self._wait(error, failed)
                if not self._may_repeat(call, error, failed, waited + wait):
                    raise self._redacted(error) from None
                log.info("http.retry", url=shown_url(url), failed=failed, wait_seconds=wait)
                waited += wait
                self._sleep(wait)
                self._pacer.waited(call.bucket, timedelta(seconds=wait))
            except ConnectorError as error:
                raise self._redacted(error) from None

    def url_of(self, call: Call) -> str:
        """Where a call goes; `ConfigError` when that is not the base URL's origin."""
        base = self.base_url if self.base_url.endswith("/") else f"{self.base_url}/"
        whole = "://" in call.path.partition("?")[0]
        url = call.path if whole else urljoin(base, call.path.lstrip("/"))
        if origin(url) != origin(self.base_url):
            raise ConfigError(
                f"{shown_url(self.base_url)} leads on to {shown_url(url)}, another place; "
                "credentials are sent to one origin only, so it is not followed"
            )
        return url

    def _may_repeat(self, call: Call, error: TransientError, failed: int, waited: float) -> bool:
        refused_before_work = isinstance(error, RateLimitedError)
        return (
            (call.repeatable or refused_before_work)
            and failed < self.limits.tries
            and waited <= self.limits.waiting_seconds
            and not self._stopped.is_set()
        )

    def _wait(self, error: TransientError, failed: int) -> float:
        """Full jitter, but never less than was asked for."""
        most = min(
            self.limits.longest_wait_seconds,
            self.limits.first_wait_seconds * 2.0 ** (failed - 1),
        )
        drawn = self.outside.chance() * most
        asked = error.retry_after.total_seconds() if error.retry_after else 0.0
        return asked + drawn * (0.1 if asked else 1.0)

    def _once(self, call: Call, url: str) -> Answer:
        with self._gate, self._pacer.place(call.bucket):
            self._pacer.turn(call.bucket)
            if self._stopped.is_set():
                raise TransientError(f"the call to {shown_url(url)} was interrupted")
            answer = self._answer(call, url)
        now = self.outside.now()
        self._compare_clocks(answer, now)
        error = self.judge(answer) or refusal(answer, now)
        throttled = isinstance(error, RateLimitedError)
        found = left(answer.headers, now)
        if isinstance(error, TransientError) and error.retry_after is not None:
            found = Left(remaining=0, resets_at=now + min(error.retry_after, PATIENCE))
        self._pacer.heard(call.bucket, found, throttled=throttled)
        if error is not None:
            raise error
        return answer

    def _answer(self, call: Call, url: str) -> Answer:
        limits = self.limits
        headers = [("User-Agent", AGENT), ("Accept", "application/json"), *self.headers]
        named = {name.lower() for name, _ in call.headers}
        headers = [pair for pair in headers if pair[0].lower() not in named]
        timeout = httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds)
        request = httpx.Request(
            call.method,
            httpx.URL(url).copy_merge_params(list(call.params)) if call.params else url,
            headers=[*headers, *call.headers],
            content=call.body,
            extensions={"timeout": timeout.as_dict()},
        )
        # Not by httpx.Client: it logs whole URLs, and keeps cookies.
        try:
            response = self._transport.handle_request(request)
            try:
                content = self._read(response, url)
            finally:
                response.close()
        except httpx.ConnectTimeout as error:
            raise TransientError(
                f"{shown_url(url)} took no connection in time ({limits.connect_seconds:g} s)"
            ) from error
        except httpx.TimeoutException as error:
            raise TransientError(
                f"{shown_url(url)} did not answer in time ({limits.read_seconds:g} s)"
            ) from error
        except (httpx.TransportError, httpx.DecodingError, httpx.StreamError) as error:
            reason = str(error) or type(error).__name__
            raise TransientError(f"{shown_url(url)} broke off: {reason}") from error
        return Answer(
            url=url,
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            content=content,
        )

    def _read(self, response: httpx.Response, url: str) -> bytes:
        until = self.outside.now() + timedelta(seconds=self.limits.answer_seconds)
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self.limits.answer_bytes:
                raise ConfigError(
                    f"{shown_url(url)} sent more than {self.limits.answer_bytes:,} bytes in one "
                    "answer; ask for smaller pages"
                )
            if self.outside.now() > until or self._stopped.is_set():
                raise TransientError(f"{shown_url(url)} took too long to send its answer")
            chunks.append(chunk)
        return b"".join(chunks)

    def their_time(self, moment: datetime) -> datetime:
        """What the provider's clock showed at a moment of ours; never later than the moment."""
        return moment - self._behind

    def _compare_clocks(self, answer: Answer, now: datetime) -> None:
        said = date_of(answer.headers)
        if said is not None:
            self._behind = max(self._behind, now - said)
            if isinstance(self.signer, Dated):
                self.signer.told(said - now)

    def _sleep(self, seconds: float) -> None:
        if self.outside.sleep is not None:
            self.outside.sleep(seconds)
        else:
            self._stopped.wait(seconds)
        if self._stopped.is_set():
            raise TransientError("the connection was closed while it waited for its turn")

    def _redacted(self, error: ConnectorError) -> ConnectorError:
        text = Redactor.of(self.signer.secrets())(str(error))
        if isinstance(error, TransientError):
            return type(error)(text, retry_after=error.retry_after)
        return type(error)(text)

    def stop(self) -> None:
        """Make every call that waits, in whatever thread, end soon in an error; for good."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, tell the budget what was used, let connections go; safe to call twice."""
        self._stopped.set()
        self._pacer.close()
        self._transport.close()
