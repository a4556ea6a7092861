"""How documents become a table: which fields, of which kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from connectors.contract import Rejection, Selection
from connectors.described import arrow_schema
from connectors.mongodb import values
from connectors.mongodb.kinds import Kind
from connectors.mongodb.session import Document

CHANGED_AT = "_changed_at"
"""The column that says when a change stream told of a document; the server's own time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How documents become a table. ``open`` says that new fields become columns."""

    kinds: Mapping[str, Kind]
    schema: pa.Schema
    key: tuple[str, ...]
    open: bool

    @classmethod
    def of(cls, selection: Selection, known: Mapping[str, Kind]) -> "Shape":
        """The shape of a selection; ``known`` are the fields that the stream was offered with."""
        schema = arrow_schema(selection.stream.schema)
        kinds = {name: known[name] for name in schema.names if name in known}
        if CHANGED_AT in schema.names:
            kinds[CHANGED_AT] = Kind.INSTANT
        return cls(
            kinds=kinds,
            schema=schema,
            key=selection.stream.primary_key,
            open=set(known) <= set(schema.names),
        )

    @property
    def projection(self) -> dict[str, int] | None:
        """The fields to ask for; None for all of them."""
        if self.open:
            return None
        return {"_id": int("_id" in self.kinds), **dict.fromkeys(self.kinds, 1)}

    def table(self, documents: Sequence[Document]) -> tuple[pa.Table, tuple[Rejection, ...]]:
        """The documents that have the shape, and why the others have not."""
        kinds = dict(self.kinds)
        if self.open:
            for name, kind in values.kinds_of(documents).items():
                kinds.setdefault(name, kind)
        arrays, reasons = [], dict[int, str]()
        for name, kind in kinds.items():
            array, unfit = values.column([one.get(name) for one in documents], kind)
            arrays.append(array)
            for row, found in unfit.items():
                reasons.setdefault(
                    row,
                    f"field {name!r} is {kind}, and in this document it is {found}; declare it "
                    "as json in the connection's fields, or mend the document",
                )
        fields = [
            self.schema.field(name) if name in self.kinds else values.arrow_field(name, kind)
            for name, kind in kinds.items()
        ]
        data = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
        if not reasons:
            return data, ()
        kept = pa.array([row not in reasons for row in range(len(documents))])
        rejected = tuple(
            Rejection(key=self._key(documents[row]), reason=reasons[row]) for row in sorted(reasons)
        )
        return data.filter(kept), rejected

    def deleted(self, identities: Sequence[object]) -> pa.Table | None:
        """Keys of documents that are gone; None if there are none, or ``_id`` is not the key.

        One of another kind was never brought, and is left out.
        """
        if self.key != ("_id",) or not identities:
            return None
        array, _ = values.column(identities, self.kinds["_id"])
        data = pa.Table.from_arrays([array], schema=pa.schema([self.schema.field("_id")]))
        return data.filter(pc.is_valid(array))

    def _key(self, document: Document) -> str:
        return ", ".join(values.shown(document.get(part)) for part in self.key or ("_id",))
