"""Tables as PostgREST shows them: their columns, and lists that are read by key.

Law: the next page begins after the last record, by cursor and key. A server may give fewer
rows than were asked for, so only an empty page ends a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from connectors.http.call import Call, encoded
from connectors.http.client import HttpClient
from connectors.rest.columns import Column, Kind
from connectors.rest.incremental import Incremental
from connectors.rest.pages import OffsetPages, Page
from connectors.rest.records import Record, find
from connectors.rest.spec import StreamSpec

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
KINDS: Mapping[str, Kind] = {
    "smallint": Kind.INTEGER,
    "integer": Kind.INTEGER,
    "bigint": Kind.INTEGER,
    "numeric": Kind.DECIMAL,
    "real": Kind.NUMBER,
    "double precision": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "timestamp with time zone": Kind.TIMESTAMP,
    "timestamp without time zone": Kind.LOCAL_TIMESTAMP,
    "date": Kind.DATE,
    "json": Kind.JSON,
    "jsonb": Kind.JSON,
}
TEXTS = frozenset({"text", "character varying", "character"})
COUNTED = frozenset({Kind.INTEGER, Kind.TIMESTAMP, Kind.LOCAL_TIMESTAMP, Kind.DATE})
"""Kinds that a cursor may be of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table or view; ``key`` is empty where it has none.

    ``opaque`` are columns of types that only PostgreSQL knows.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    opaque: frozenset[str] = frozenset()

    def kind(self, column: str) -> Kind | None:
        """What a column holds; None if there is none of that name."""
        return next((one.kind for one in self.columns if one.name == column), None)


def tables(client: HttpClient, schema: str) -> Sequence[Table]:
    """Every table that the key may see, ordered by name."""
    headers = (("Accept-Profile", schema), ("Accept", "application/openapi+json"))
    said = client.fetch(Call(path="", headers=headers), lambda answer: answer.json())
    found: Mapping[str, Any] = find(said, "definitions") or {}
    return [_table(name, found[name]) for name in sorted(found)]


def _table(name: str, said: Mapping[str, Any]) -> Table:
    properties: Mapping[str, Any] = said.get("properties") or {}
    return Table(
        name=name,
        columns=tuple(
            Column(name=column, kind=_kind(how), path=pointer(column))
            for column, how in properties.items()
        ),
        key=tuple(
            column for column, how in properties.items() if "<pk/>" in how.get("description", "")
        ),
        opaque=frozenset(
            column for column, how in properties.items() if _word(how) not in {*KINDS, *TEXTS}
        ),
    )


def _kind(said: Mapping[str, Any]) -> Kind:
    word = _word(said)
    return Kind.JSON if word.endswith("[]") else KINDS.get(word, Kind.TEXT)


def _word(said: Mapping[str, Any]) -> str:
    """A type without its bounds."""
    return re.sub(r"\([^)]*\)", "", str(said.get("format") or "")).strip()


def pointer(column: str) -> str | None:
    """Where a column is found in a record; None where its name alone says so."""
    plain = not ("." in column or column.startswith("/"))
    return None if plain else "/" + column.replace("~", "~0").replace("/", "~1")


def quoted(name: str) -> str:
    """A name or value inside a list of conditions."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def named(column: str) -> str:
    """A column's name, quoted where it must be."""
    return column if _PLAIN.fullmatch(column) else quoted(column)


def spelled(value: Any) -> str:
    """A value as a filter has it, in quotes."""
    return quoted(value if isinstance(value, str) else encoded(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """Rises by ``columns``; ``nullable``: the first of them may be NULL, and comes first then."""

    columns: tuple[str, ...]
    size: int
    nullable: bool = False
    shifts: bool = False

    def first(self, call: Call) -> Call:
        """See `Pages.first`."""
        rising = [f"{named(one)}.asc" for one in self.columns]
        if self.nullable:
            rising[0] += ".nullsfirst"
        return call.put({"limit": self.size, "order": ",".join(rising)})

    def next(self, page: Page) -> Call | None:
        """See `Pages.next`."""
        if not page.records:
            return None
        return page.call.put({"and": f"({self.after(page.records[-1])})"})

    def ahead(self, page: Page) -> Sequence[Call]:
        """See `Pages.ahead`."""
        return ()

    def after(self, record: Record) -> str:
        """The condition for everything that comes after a record."""
        choices, equal = [], []
        for place, column in enumerate(self.columns):
            value = record.get(column)
            if value is None and place == 0 and self.nullable:
                choices.append(f"{named(column)}.not.is.null")
                equal.append(f"{named(column)}.is.null")
                continue
            beyond = [*equal, f"{named(column)}.gt.{spelled(value)}"]
            choices.append(f"and({','.join(beyond)})")
            equal.append(f"{named(column)}.eq.{spelled(value)}")
        return f"or({','.join(choices)})"


def spec_of(
    table: Table,
    *,
    cursor: str | None,
    selected: Sequence[str],
    schema: str,
    size: int,
) -> StreamSpec:
    """How a table is read: in the order of its cursor, if it has one, and its key."""
    rising = tuple(dict.fromkeys((*((cursor,) if cursor else ()), *table.key)))
    wanted = dict.fromkeys((*selected, *rising))
    params: dict[str, object] = {"select": ",".join(named(one) for one in wanted)}
    nullable = cursor is not None and cursor not in table.key
    if not table.key:
        # Without a key there is no place to go on from; any order is better than none.
        ordered = rising or tuple(one.name for one in table.columns if one.kind is not Kind.JSON)
        params["order"] = ",".join(f"{named(one)}.asc" for one in ordered)
    return StreamSpec(
        name=table.name,
        path=quote(table.name, safe=""),
        primary_key=table.key,
        columns=table.columns,
        pages=Keyset(columns=rising, size=size, nullable=nullable)
        if table.key
        else OffsetPages(size=size, short_ends=False),
        incremental=None if cursor is None else _asked(cursor, keyed=bool(table.key)),
        params=params,
        headers=(("Accept-Profile", schema),),
        note="" if table.key else "it has no primary key, so a page may miss what moves meanwhile",
    )


def _asked(cursor: str, *, keyed: bool) -> Incremental:
    """From the cursor on, and what has none."""
    name = named(cursor).replace("{", "{{").replace("}", "}}")
    pattern = f'({name}.gte."{{}}",{name}.is.null)'
    return Incremental(field=cursor, param="or", pattern=pattern, ordered=keyed)
