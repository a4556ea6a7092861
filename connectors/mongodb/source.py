"""A MongoDB database as a source: each collection and view is a stream.

Laws:

* An incremental read begins at its watermark, not after it: documents that share it come
  again, and the writer keeps one of each.
* Comparisons stay within one BSON type, as MongoDB's do. A document whose cursor is missing
  or of another type has no place in the order, and is read every time.
* Documents have the fields that the sample showed or the connection declares; when all of
  them are read, a field that appears in the middle is one more column.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from bson import ObjectId, json_util

from connectors.contract import Batch, Encoding, Rejection, Selection, State, Stream, SyncMode
from connectors.cursors import NO_CURSOR
from connectors.errors import ConfigError, ContractError
from connectors.mongodb import values
from connectors.mongodb.changes import Changes
from connectors.mongodb.config import MongoConfig, Reading
from connectors.mongodb.kinds import Kind
from connectors.mongodb.session import MongoSession, translated
from connectors.mongodb.shape import CHANGED_AT, Shape
from connectors.sql import cursor as cursors
from connectors.sql.cursor import Mark
from connectors.sql.plan import USUAL_CURSORS

log = structlog.get_logger()

_CURSORS = {
    Kind.INTEGER: (cursors.Kind.INTEGER, ["int", "long"]),
    Kind.INSTANT: (cursors.Kind.INSTANT, ["date"]),
    Kind.TEXT: (cursors.Kind.TEXT, ["string"]),
    Kind.OBJECT_ID: (cursors.Kind.TEXT, ["objectId"]),
}
"""How a kind of field counts as a cursor, and the BSON types that it is compared in."""


def open_source(config: MongoConfig) -> "MongoSource":
    """A source on this database; nothing is connected to yet."""
    return MongoSource(config=config, session=MongoSession(config))


@dataclass(slots=True, kw_only=True)
class MongoSource:
    """See `connectors.contract.Source`."""

    config: MongoConfig
    session: MongoSession
    _kinds: dict[str, dict[str, Kind]] = field(default_factory=dict)

    def check(self) -> str:
        """Connect, and say to what."""
        self.session.names()
        return self.session.version()

    def discover(self) -> Sequence[Stream]:
        """Every collection, ordered by name."""
        return [self._stream(name) for name in self.session.names()]

    def stream(self, name: str) -> Stream:
        """One collection, with the fields that a sample of it has now."""
        known = self.session.names()
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise ConfigError(f"there is no collection {name!r} to read; {hint}")
        return self._stream(name)

    def _stream(self, name: str) -> Stream:
        collection = self.session.collection(name)
        half = -(-self.config.sample_documents // 2)
        with translated("sampling"):
            sample = [
                document
                for way in (1, -1)
                for document in collection.find(sort=[("_id", way)], limit=half)
            ]
            indexes = {} if self._is_view(name) else collection.index_information()
        kinds = values.kinds_of(sample) or {"_id": Kind.OBJECT_ID}
        kinds.update(self.config.fields.get(name, {}))
        self._kinds[name] = kinds
        fields = [values.arrow_field(one, kind) for one, kind in kinds.items()]
        if self.config.reading is Reading.CHANGES:
            fields.append(values.arrow_field(CHANGED_AT, Kind.INSTANT))
            return Stream(
                name=name,
                schema=pa.schema(fields),
                primary_key=("_id",),
                cursor_field=CHANGED_AT,
                ordered=True,
                tells_deletes=True,
                note="deleted documents are told by their _id: let it be the key",
            )
        cursor = next((one for one in kinds if one.lower() in USUAL_CURSORS), None)
        if cursor is not None and kinds[cursor] is not Kind.INSTANT:
            cursor = None
        return Stream(
            name=name,
            schema=pa.schema(fields),
            primary_key=("_id",),
            cursor_field=cursor,
            ordered=cursor is not None and cursor in _leading(indexes),
            modes=frozenset(SyncMode) if cursor else frozenset({SyncMode.FULL}),
            note="" if cursor else NO_CURSOR,
        )

    def _is_view(self, name: str) -> bool:
        found = list(self.session.database.list_collections(filter={"name": name}))
        return bool(found) and found[0].get("type") == "view"

    def encodings(self, selection: Selection) -> Sequence[Encoding]:
        """Arrow."""
        return (Encoding.ARROW,)

    def read(
        self, selection: Selection, state: State | None, encoding: Encoding
    ) -> Iterator[Batch]:
        """The documents after ``state``; nothing is asked of the server before the first."""
        if encoding is not Encoding.ARROW:
            raise ContractError(f"this source does not speak {encoding}")
        name = selection.stream.name
        if name not in self._kinds:
            self.stream(name)
        shape = Shape.of(selection, self._kinds[name])
        if self.config.reading is Reading.CHANGES:
            yield from Changes(self.session, selection, shape).batches(state)
        else:
            yield from _Pass(session=self.session, selection=selection, shape=shape).batches(state)

    def close(self) -> None:
        """Release connections."""
        self.session.close()


def _leading(indexes: Mapping[str, Any]) -> set[str]:
    """The fields that an index starts with, if it has every document."""
    whole = (one for one in indexes.values() if "partialFilterExpression" not in one)
    return {str(one["key"][0][0]) for one in whole if not one.get("sparse")}


@dataclass(slots=True, kw_only=True)
class _Pass:
    """One read of one collection by its cursor field."""

    session: MongoSession
    selection: Selection
    shape: Shape

    def batches(self, state: State | None) -> Iterator[Batch]:
        """The documents, with a checkpoint after each batch where an index orders them."""
        name = self.selection.stream.cursor_field
        if name is None:
            self._refuse_cursorless()
            yield from (Batch(data=d, rejected=r) for d, r in self._tables(None, None))
            return
        counts, types = self._cursor(name)
        prior = self._prior(counts, state)
        incremental = self.selection.mode is SyncMode.INCREMENTAL
        windowed = self.selection.window is not None
        limit = None
        if counts in cursors.TEMPORAL and not windowed:
            limit = cursors.ceiling(counts, self.session.now())
        reached = prior
        told: State | None = None
        regular = {name: {"$type": types, **self._bounds(name, counts, prior)}}
        if incremental and not windowed:
            odd = {name: {"$not": {"$type": types}}}
            for data, rejected in self._tables(odd, None):
                yield Batch(data=data, rejected=rejected)
        orders = incremental and not windowed and self._indexed(name)
        query = regular if incremental or windowed else None
        for data, rejected in self._tables(query, name if orders else None):
            for part, tells in self._parts(data, name, orders=orders):
                seen = _greatest(counts, part.column(name), limit)
                if seen is not None and (reached is None or seen.order > reached.order):
                    reached = seen
                told = reached.state() if tells and reached else None
                yield Batch(data=part, state=told, rejected=rejected)
                rejected = ()
        if windowed or told is not None:
            return
        fresh = state is not None and not incremental
        final = State(version=cursors.STATE_VERSION, value={}) if fresh else None
        if reached is not None:
            final = reached.state()
        if final is not None:
            yield Batch(data=self.shape.schema.empty_table(), state=final)

    def _refuse_cursorless(self) -> None:
        if self.selection.mode is SyncMode.INCREMENTAL or self.selection.window is not None:
            raise ConfigError(
                f"{self.selection.stream.name!r} has no cursor, so it cannot be read "
                "incrementally; name a field that grows with every change, or read it in full"
            )

    def _cursor(self, name: str) -> tuple[cursors.Kind, list[str]]:
        kind = self.shape.kinds.get(name)
        if kind not in _CURSORS:
            raise ConfigError(
                f"field {name!r} is {kind}, which cannot be a cursor; choose a field of dates, "
                "integers, texts or object ids"
            )
        counts, types = _CURSORS[kind]
        if self.selection.lag and counts not in cursors.TEMPORAL:
            raise ConfigError(f"a lag is a time, and {name!r} is {kind}; set the lag to 0")
        return counts, types

    def _prior(self, counts: cursors.Kind, state: State | None) -> Mark | None:
        if self.selection.mode is SyncMode.FULL or self.selection.window is not None:
            return None
        try:
            return cursors.marked(state, counts)
        except ValueError as error:
            log.warning("state.unreadable", stream=self.selection.stream.name, reason=str(error))
            return None

    def _bounds(self, name: str, counts: cursors.Kind, prior: Mark | None) -> dict[str, Any]:
        window = self.selection.window
        if window is None:
            lag = self.selection.lag
            return {} if prior is None else {"$gte": self._value(name, prior.before(lag))}
        bounds = {}
        for side, operator, text in (("start", "$gte", window.start), ("end", "$lt", window.end)):
            if text is not None:
                try:
                    bounds[operator] = self._value(name, Mark.parse(counts, text))
                except ValueError as error:
                    raise ConfigError(f"the window's {side} {error}") from error
        return bounds

    def _value(self, name: str, mark: Mark) -> Any:
        is_id = self.shape.kinds[name] is Kind.OBJECT_ID
        return ObjectId(str(mark.value)) if is_id else mark.value

    def _indexed(self, name: str) -> bool:
        with translated("reading the indexes"):
            indexes = self.session.collection(self.selection.stream.name).index_information()
        return name in _leading(indexes)

    def _tables(
        self, query: Mapping[str, Any] | None, order: str | None
    ) -> Iterator[tuple[pa.Table, tuple[Rejection, ...]]]:
        wanted = [part for part in (query, _filter(self.selection.row_filter)) if part]
        collection = self.session.collection(self.selection.stream.name)
        with translated("reading"):
            found = collection.find(
                {"$and": wanted} if wanted else {},
                self.shape.projection,
                sort=[(order, 1)] if order else None,
                batch_size=min(self.selection.batch_rows, 10_000) + 1,
            )
        with found:
            while True:
                with translated("reading"):
                    documents = list(islice(found, self.selection.batch_rows))
                if not documents:
                    return
                yield self.shape.table(documents)

    def _parts(
        self, data: pa.Table, cursor: str, *, orders: bool
    ) -> Iterator[tuple[pa.Table, bool]]:
        """Without a key, no checkpoint divides the documents of one cursor value."""
        if not orders or self.shape.key or not data.num_rows:
            yield data, orders
            return
        column: Any = data.column(cursor)
        is_last = pc.equal(column, column[-1])
        before = data.filter(pc.invert(is_last))
        if before.num_rows:
            yield before, True
        yield data.filter(is_last), False


def _greatest(
    counts: cursors.Kind, column: "pa.ChunkedArray[Any]", limit: Mark | None
) -> Mark | None:
    """MongoDB compares texts byte by byte, and so does Arrow."""
    if counts is not cursors.Kind.TEXT:
        return cursors.greatest(counts, column, limit)
    top = pc.max(column).as_py()
    return None if top is None else Mark(kind=counts, value=top)


def _filter(text: str | None) -> Mapping[str, Any] | None:
    if text is None:
        return None
    try:
        found = json_util.loads(text)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f'the row_filter {text!r} is not JSON; write it like {{"status": "paid"}}'
        ) from error
    if not isinstance(found, dict):
        raise ConfigError('the row_filter must be an object, like {"status": "paid"}')
    return found
