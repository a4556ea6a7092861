"""Reading a collection by its change stream: first all of it, then what the server tells.

Laws:

* The token is taken before the first document is read, so that no change falls between.
* A token is told only after the events before it were handed over.
* A deletion is told with what came before it, never with a document that came after it.
* A token that the server no longer has (its log is finite) costs a read of everything;
  nothing is passed over in silence. What was deleted meanwhile, only a full read finds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import structlog
from bson import Timestamp, json_util
from pymongo import errors

from connectors.contract import Batch, Selection, State, SyncMode
from connectors.errors import ConfigError
from connectors.mongodb.documents import image
from connectors.mongodb.session import (
    HISTORY_LOST,
    NO_CHANGE_STREAMS,
    NO_TOKEN,
    Document,
    MongoSession,
    code_of,
    translated,
)
from connectors.mongodb.shape import CHANGED_AT, Shape

log = structlog.get_logger()

STATE_VERSION = 2
WAIT_MILLISECONDS = 500
"""How long the server looks for a next event before a read is taken to be at the end."""

_WRITES = frozenset({"insert", "update", "replace"})
_ENDS = frozenset({"drop", "rename", "dropDatabase", "invalidate"})


@dataclass(slots=True)
class Told:
    """What events have told and no batch has brought yet."""

    documents: list[Document] = field(default_factory=list)
    gone: list[Any] = field(default_factory=list)
    _known: set[bytes] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.documents) + len(self.gone)

    def has_deleted(self, event: Document) -> bool:
        """Whether the event is about a document that is told to be gone."""
        return bool(self.gone) and _key_of(event) in self._known

    def take(self, event: Document, at: datetime) -> None:
        """Remember what the event tells."""
        document = event.get("fullDocument")
        if event["operationType"] == "delete":
            self.gone.append(event["documentKey"]["_id"])
            self._known.add(_key_of(event))
        elif event["operationType"] in _WRITES and document is not None:
            self.documents.append({**document, CHANGED_AT: at})


def _key_of(event: Document) -> bytes:
    return image(event.get("documentKey", {}), ["_id"])


class LostError(Exception):
    """The events after a token are gone; only a read of everything helps."""


@dataclass(frozen=True, slots=True)
class Changes:
    """One read of one collection."""

    session: MongoSession
    selection: Selection
    shape: Shape

    def batches(self, state: State | None) -> Iterator[Batch]:
        """What has changed since the state, or everything where there is none."""
        if self.selection.window is not None or self.selection.lag:
            raise ConfigError("a change stream has no windows and no lag; re-sync it as a whole")
        token = self._token(state)
        if token is not None and self.selection.mode is SyncMode.INCREMENTAL:
            try:
                yield from self._changed(token)
            except LostError as error:
                log.warning("changes.lost", stream=self.selection.stream.name, reason=str(error))
            else:
                return
        yield from self._everything()

    def _token(self, state: State | None) -> Any:
        if state is None:
            return None
        text = state.value.get("token")
        if state.version != STATE_VERSION or not isinstance(text, str):
            log.warning("state.unreadable", stream=self.selection.stream.name)
            return None
        try:
            return json_util.loads(text)
        except ValueError:
            log.warning("state.unreadable", stream=self.selection.stream.name)
            return None

    def _state(self, token: Any, at: datetime) -> State:
        text = json_util.dumps(token, json_options=json_util.CANONICAL_JSON_OPTIONS)
        watermark = at.isoformat(timespec="microseconds")
        return State(version=STATE_VERSION, value={"token": text, "watermark": watermark})

    def _everything(self) -> Iterator[Batch]:
        started = self._operation_time()
        with self._watched(None) as stream:
            with translated("watching"):
                stream.try_next()
            state = self._state(stream.resume_token, started)
        collection = self.session.collection(self.selection.stream.name)
        with translated("reading"):
            found = collection.find({}, self.shape.projection)
        with found:
            while True:
                with translated("reading"):
                    part = list(islice(found, self.selection.batch_rows))
                if not part:
                    break
                yield self._batch([{**one, CHANGED_AT: started} for one in part], None)
        yield Batch(data=self.shape.schema.empty_table(), state=state)

    def _operation_time(self) -> datetime:
        """The cluster's own time: whatever a stream tells from here on is later."""
        said = self.session.hello()
        time = said.get("operationTime")
        if isinstance(time, Timestamp):
            return _moment(time)
        found: datetime = said["localTime"]
        return found.replace(microsecond=0, tzinfo=UTC)

    def _changed(self, token: Any) -> Iterator[Batch]:
        """Events up to the moment at which the read began: a busy collection never ends."""
        until = self.session.now()
        waiting = Told()
        at, told = until, None
        with self._watched(token) as stream:
            while True:
                event = self._next(stream)
                if event is None:
                    break
                at = _moment(event["clusterTime"])
                if event["operationType"] in _ENDS:
                    raise LostError(f"the collection had a {event['operationType']}")
                if waiting.has_deleted(event):
                    # The stream's token is past this event, which is not handed over yet.
                    yield self._told(waiting, None)
                    waiting = Told()
                waiting.take(event, at)
                if len(waiting) >= self.selection.batch_rows:
                    told = self._state(stream.resume_token, at)
                    yield self._told(waiting, told)
                    waiting = Told()
                if at > until:
                    break
            last = self._state(stream.resume_token, at)
        if waiting:
            yield self._told(waiting, last)
        elif told is None or told.value["token"] != last.value["token"]:
            yield Batch(data=self.shape.schema.empty_table(), state=last)

    def _next(self, stream: Any) -> Any:
        try:
            with translated("watching"):
                return stream.try_next()
        except ConfigError as error:
            raise _lost(error, resumed=True) from error

    def _watched(self, token: Any) -> Any:
        collection = self.session.collection(self.selection.stream.name)
        try:
            with translated("watching"):
                return collection.watch(
                    full_document="updateLookup",
                    resume_after=token,
                    max_await_time_ms=WAIT_MILLISECONDS,
                )
        except ConfigError as error:
            raise _lost(error, resumed=token is not None) from error

    def _told(self, waiting: Told, state: State | None) -> Batch:
        batch = self._batch(waiting.documents, state)
        return replace(batch, deleted=self.shape.deleted(waiting.gone))

    def _batch(self, documents: list[Document], state: State | None) -> Batch:
        data, rejected = self.shape.table(documents)
        return Batch(data=data, state=state, rejected=rejected)


def _lost(error: ConfigError, *, resumed: bool) -> Exception:
    code = code_of(error.__cause__)
    gone = code in HISTORY_LOST or (resumed and code in NO_TOKEN)
    if gone or isinstance(error.__cause__, errors.InvalidOperation):
        return LostError(str(error))
    if code in NO_CHANGE_STREAMS:
        return ConfigError(
            "this server has no change streams, which need a replica set; set reading to cursor"
        )
    return error


def _moment(time: Timestamp) -> datetime:
    """A cluster time; its count within the second orders events, as microseconds."""
    return datetime.fromtimestamp(time.time, tz=UTC).replace(microsecond=min(time.inc, 999_999))
