"""The client: one part for each resource of the API."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import SystemRandom
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx

from sync_pipelines.client.errors import SyncError
from sync_pipelines.client.shapes import (
    Authorization,
    Connection,
    DeadLetter,
    Execution,
    Firing,
    LogLine,
    Preview,
    Redriven,
    Schedule,
    Sync,
    Triggered,
    read,
)
from sync_pipelines.client.told import Alerts, Incidents, NoticeDeliveries, preview_digest
from sync_pipelines.client.told_shapes import Digest, Rule
from sync_pipelines.client.transport import Transport, path_of
from sync_pipelines.model.report import Dashboard, Day, Report, SyncTotals, Totals

Thing = TypeVar("Thing", Schedule, Sync, Connection, Rule)

PAGE = 200
POLL_SECONDS = 1.0


class Client:
    """The gateway, on behalf of one caller. Close it, or use it in a ``with``.

    ``tenant`` says which one is meant, where the caller belongs to several. ``http`` is
    for who needs another way to the gateway; it is closed with the client.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str,
        tenant: str | None = None,
        timeout_seconds: float = 30.0,
        http: httpx.Client | None = None,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        self._http = http or httpx.Client(base_url=url, timeout=timeout_seconds)
        self._http.headers["Authorization"] = f"Bearer {token}"
        if tenant is not None:
            self._http.headers["X-Tenant"] = tenant
        transport = Transport(self._http, sleep=sleep, rng=SystemRandom())
        self.schedules = Schedules(transport)
        self.syncs = Syncs(transport)
        self.connections = Connections(transport)
        self.executions = Executions(transport)
        self.dead_letters = DeadLetters(transport)
        self.notification_rules = NotificationRules(transport)
        self.notification_deliveries = NoticeDeliveries(transport)
        self.incidents = Incidents(transport)
        self.alert_thresholds = Alerts(transport)
        self._transport = transport

    def report(self, *, start: datetime | None = None, end: datetime | None = None) -> Report:
        """What came of a span of time; the last seven days by default."""
        params = {"from": _text(start), "to": _text(end)}
        said = self._transport.send("GET", path_of("reports"), params=params).json()
        return read(
            Report,
            said,
            start=datetime.fromisoformat(said["from"]),
            end=datetime.fromisoformat(said["to"]),
            totals=read(Totals, said["totals"]),
            syncs=[read(SyncTotals, one) for one in said["syncs"]],
        )

    def preview_digest(self, **when: object) -> Digest:
        """The digest that ended last, as it would be sent; ``when`` as in the API."""
        return preview_digest(self._transport, **when)

    def dashboard(self) -> Dashboard:
        """What goes on now, and how each of the last seven UTC days went."""
        said = self._transport.send("GET", path_of("reports", "dashboard")).json()
        return read(Dashboard, said, days=[read(Day, one) for one in said["days"]])

    def close(self) -> None:
        """Close its connections; safe to call twice."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Things(Generic[Thing]):
    """What schedules, syncs and connections have in common."""

    resource: str
    shape: type[Thing]

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int = PAGE, **which: object) -> Iterator[Thing]:
        """All of them, in pages that are fetched as they are needed; ``which`` are filters."""
        params = {"limit": page_size, **{name: _said(value) for name, value in which.items()}}
        for one in self._transport.pages(path_of(self.resource), params):
            yield read(self.shape, one)

    def get(self, identity: UUID) -> Thing:
        """One by its id, with its ``etag``."""
        return self._told("GET", path_of(self.resource, identity))

    def create(self, *, key: str | None = None, **fields: object) -> Thing:
        """Make one; ``fields`` as in the API."""
        return self._told("POST", path_of(self.resource), json=fields, key=key)

    def change(self, identity: UUID, *, if_match: str | None = None, **fields: object) -> Thing:
        """Change a part of one; with ``if_match`` only if it is still that version."""
        path = path_of(self.resource, identity)
        return self._told("PATCH", path, json=fields, if_match=if_match)

    def replace(self, identity: UUID, *, if_match: str | None = None, **fields: object) -> Thing:
        """Replace one as a whole."""
        path = path_of(self.resource, identity)
        return self._told("PUT", path, json=fields, if_match=if_match)

    def delete(self, identity: UUID, *, if_match: str | None = None) -> None:
        """Remove one."""
        self._transport.send("DELETE", path_of(self.resource, identity), if_match=if_match)

    def _told(self, method: str, path: str, **said: Any) -> Thing:
        answer = self._transport.send(method, path, **said)
        return read(self.shape, answer.json(), etag=answer.headers.get("ETag"))


class _Steered(_Things[Thing]):
    """What can be started and paused."""

    def trigger(
        self,
        identity: UUID,
        *,
        streams: Sequence[str] = (),
        full: bool = False,
        key: str | None = None,
    ) -> Triggered:
        """Start it now, paused or not."""
        path = path_of(self.resource, identity, "trigger")
        asked = {"streams": [*streams], "full": full}
        return read(Triggered, self._transport.send("POST", path, json=asked, key=key).json())

    def resume(self, identity: UUID) -> Thing:
        """Let it start again."""
        return self._told("POST", path_of(self.resource, identity, "resume"))


class Schedules(_Steered[Schedule]):
    """When syncs run."""

    resource, shape = "sync-schedules", Schedule

    def pause(self, identity: UUID, *, reason: str, until: datetime | None = None) -> Schedule:
        """Let it start nothing, until it is resumed or a time has come."""
        asked = {"reason": reason, "until": _text(until)}
        return self._told("POST", path_of(self.resource, identity, "pause"), json=asked)

    def history(self, identity: UUID, **which: object) -> Iterator[Execution]:
        """What it has started, newest first."""
        params = {"limit": PAGE, **{name: _said(value) for name, value in which.items()}}
        for one in self._transport.pages(path_of(self.resource, identity, "history"), params):
            yield read(Execution, one)

    def preview(self, identity: UUID, *, count: int = 5) -> Preview:
        """What is to come of it."""
        path = path_of(self.resource, identity, "preview")
        return _preview(self._transport.send("GET", path, params={"count": count}).json())

    def preview_unsaved(self, **fields: object) -> Preview:
        """What would come of a schedule that is not saved; ``fields`` as in the API."""
        path = path_of(self.resource, "preview")
        return _preview(self._transport.send("POST", path, json=fields).json())

    def explain(self, identity: UUID, at: datetime) -> str:
        """Why it did or did not start its sync at an instant, in a sentence."""
        path = path_of(self.resource, identity, "explain")
        said: str = self._transport.send("GET", path, params={"at": _text(at)}).json()["answer"]
        return said


class Syncs(_Steered[Sync]):
    """What moves where."""

    resource, shape = "syncs", Sync

    def pause(self, identity: UUID, *, reason: str) -> Sync:
        """Let none of its schedules start it until it is resumed."""
        path = path_of(self.resource, identity, "pause")
        return self._told("POST", path, json={"reason": reason})


class Connections(_Things[Connection]):
    """The systems that were connected."""

    resource, shape = "connections", Connection

    def check(self, identity: UUID) -> Mapping[str, str]:
        """Connect, and what answered, by role; `ApiError` if nothing does."""
        said = self._transport.send("POST", path_of(self.resource, identity, "check")).json()
        return {role: said[role] for role in ("source", "destination") if said.get(role)}

    def authorization(self, identity: UUID) -> Authorization:
        """Whether a person has let it in at its provider; only a person, in a browser, can."""
        path = path_of(self.resource, identity, "authorize")
        return read(Authorization, self._transport.send("GET", path).json())

    def discover(self, identity: UUID) -> Sequence[Mapping[str, Any]]:
        """The streams that can be read."""
        path = path_of(self.resource, identity, "discover")
        streams: Sequence[Mapping[str, Any]] = self._transport.send("GET", path).json()["items"]
        return streams


class NotificationRules(_Things[Rule]):
    """Who is told of what."""

    resource, shape = "notification-rules", Rule

    def test(self, identity: UUID) -> int:
        """Send a test to all whom a rule tells; to how many."""
        path = path_of(self.resource, identity, "test")
        sent: int = self._transport.send("POST", path).json()["messages"]
        return sent

    def rotate(self, identity: UUID) -> Rule:
        """Give a webhook a fresh ``signing_secret``; the old one signs beside it for a day."""
        return self._told("POST", path_of(self.resource, identity, "rotate"))


class Executions:
    """What ran, runs and is to run."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int = PAGE, **which: object) -> Iterator[Execution]:
        """Executions, newest first; ``which`` are filters."""
        params = {"limit": page_size, **{name: _said(value) for name, value in which.items()}}
        for one in self._transport.pages(path_of("executions"), params):
            yield read(Execution, one)

    def get(self, identity: UUID) -> Execution:
        """One by its id."""
        said = self._transport.send("GET", path_of("executions", identity)).json()
        return read(Execution, said)

    def cancel(self, identity: UUID) -> Execution:
        """Cancel one: at once if it waits, at its next batch if it runs."""
        said = self._transport.send("POST", path_of("executions", identity, "cancel")).json()
        return read(Execution, said)

    def retry(self, identity: UUID) -> Triggered:
        """Try again what it has not done."""
        said = self._transport.send("POST", path_of("executions", identity, "retry")).json()
        return read(Triggered, said)

    def logs(self, identity: UUID) -> Sequence[LogLine]:
        """What happened to it, in order."""
        said = self._transport.send("GET", path_of("executions", identity, "logs")).json()
        return [read(LogLine, one) for one in said["items"]]

    def wait(self, identity: UUID, *, at_most: timedelta = timedelta(hours=1)) -> Execution:
        """Wait for one to end; `SyncError` if it takes longer than that."""
        until = monotonic() + at_most.total_seconds()
        while True:
            found = self.get(identity)
            if found.is_over:
                return found
            if monotonic() > until:
                raise SyncError(f"execution {identity} is still {found.status} after {at_most}")
            self._transport.sleep(POLL_SECONDS)


class DeadLetters:
    """What could not be done."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, page_size: int = PAGE, **which: object) -> Iterator[DeadLetter]:
        """Dead letters, newest first; ``which`` are filters."""
        params = {"limit": page_size, **{name: _said(value) for name, value in which.items()}}
        for one in self._transport.pages(path_of("dead-letters"), params):
            yield read(DeadLetter, one)

    def redrive(self, identities: Sequence[UUID]) -> Redriven:
        """Try them again, as far as they are open."""
        asked = {"ids": [str(one) for one in identities]}
        path = path_of("dead-letters", "redrive")
        return read(Redriven, self._transport.send("POST", path, json=asked).json())


def _preview(said: Mapping[str, Any]) -> Preview:
    return read(Preview, said, next=[read(Firing, one) for one in said["next"]])


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _said(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
