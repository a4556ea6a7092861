"""Which columns a stream has: declared ones, those of its objects, and what we add.

Law: types are taken from the oldest objects, so that they stay as they are when new ones
arrive; a newer object only adds columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import structlog

from connectors.arrow import Field, evolved, field
from connectors.contract import Stream
from connectors.described import arrow_schema
from connectors.errors import TransientError
from connectors.files.config import StreamConfig
from connectors.files.formats import Wanted
from connectors.files.inside import Inside
from connectors.files.kinds import Kind, Word, common
from connectors.files.stores import Object

log = structlog.get_logger()

FILE, ROW, MODIFIED_AT = "_file", "_row", "_modified_at"
SAMPLED_OLDEST = 3
SAMPLED_NEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A stream's columns; ``added`` are ours."""

    fields: Mapping[str, Field]
    kinds: Mapping[str, Kind]
    declared: frozenset[str]
    added: Mapping[str, Field]

    def wanted(self, chosen: Iterable[str], stream: StreamConfig) -> Wanted:
        """What a reader is to bring."""
        return Wanted(
            known=self.fields,
            chosen=frozenset(chosen) & frozenset(self.fields),
            kinds=self.kinds,
            declared=self.declared,
            misfits=stream.misfits,
        )

    def stream(self, name: str, config: StreamConfig, *, note: str) -> Stream:
        """As the contract has it; a record is known by its object and its place in it."""
        ours = set(self.added) == {FILE, ROW, MODIFIED_AT}
        return Stream(
            name=name,
            schema=pa.schema([*self.fields.values(), *self.added.values()]),
            primary_key=config.primary_key or ((FILE, ROW) if ours else ()),
            cursor_field=MODIFIED_AT,
            note=note,
        )


def columns_of(inside: Inside, objects: Sequence[Object]) -> Columns:
    """From the declared types and a sample of the objects, which are in order."""
    oldest = objects[:SAMPLED_OLDEST]
    newest = objects[SAMPLED_OLDEST:][-SAMPLED_NEWEST:]
    found: dict[str, Field | Kind | None] = {}
    for one in oldest:
        for name, kind in _sampled(inside, one).items():
            found[name] = _together(found.get(name), kind)
    for one in newest:
        for name, kind in _sampled(inside, one).items():
            found[name] = found.get(name) or kind
    declared = inside.stream.kinds
    kinds = {**{name: Kind(Word.TEXT) for name in found}, **_kinds(found), **declared}
    fields = {name: kind.field(name) for name, kind in kinds.items()}
    exact = {
        name: one
        for name, one in found.items()
        if isinstance(one, pa.Field)
        if name not in declared
    }
    fields.update(exact)
    ours = {
        FILE: field(FILE, pa.string()),
        ROW: field(ROW, pa.int64()),
        MODIFIED_AT: field(MODIFIED_AT, pa.timestamp("us", "UTC")),
    }
    return Columns(
        fields=fields,
        kinds=kinds,
        declared=frozenset(declared),
        added={name: one for name, one in ours.items() if name not in fields},
    )


def _kinds(found: Mapping[str, Field | Kind | None]) -> dict[str, Kind]:
    return {name: kind for name, kind in found.items() if isinstance(kind, Kind)}


def _sampled(inside: Inside, found: Object) -> Mapping[str, Field | Kind | None]:
    """One object's columns; none if it is half-written, which shows when it is read."""
    try:
        with closing(inside.beginning(found)) as sample:
            return inside.format(found.name).fields(sample, inside.options(found.name))
    except TransientError as error:
        log.warning("file.unreadable", file=found.name, reason=str(error))
        return {}


def _together(one: Field | Kind | None, other: Field | Kind | None) -> Field | Kind | None:
    if isinstance(one, pa.Field) and isinstance(other, pa.Field):
        both = arrow_schema(evolved(pa.schema([one]), pa.schema([other])))
        return both.field(one.name)
    if isinstance(one, pa.Field) or isinstance(other, pa.Field):
        return one or other
    return common(one, other)
