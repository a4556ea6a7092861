"""What a REST source is: frozen data, from which `connectors.rest.source` reads.

A provider is an `Api` with its streams; most are a spec of under 60 lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.contract import Stream, SyncMode
from connectors.described import schema_of
from connectors.errors import ConnectorError
from connectors.http.call import Answer
from connectors.http.client import Limits, accept_all
from connectors.rest.auth import Auth, NoAuth
from connectors.rest.columns import Column
from connectors.rest.incremental import Incremental
from connectors.rest.pages import OnePage, Pages
from connectors.rest.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Where a nested stream hangs.

    For each record of ``stream`` the child's list is asked for, its ``path`` filled from
    the parent's fields (``orders/{id}/refunds``); with ``inside``, the records are taken
    from that place in the parent's record, and nothing is asked. ``copy`` puts parent's
    fields into the child's records: ``{"order_id": "id"}``. ``cursor`` is the copied field
    that carries the parent's cursor, by which the child is read incrementally. ``having``
    names a field of the parent without which it has no such children.
    """

    stream: str
    copy: Mapping[str, str] = field(default_factory=dict)
    inside: str | None = None
    cursor: str | None = None
    having: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """One list of a provider.

    ``records`` is where in an answer they are. ``columns`` None: inferred from the first
    page. ``edit`` changes a record before it becomes columns; it returns a new one.
    """

    name: str
    path: str
    records: str = ""
    primary_key: tuple[str, ...] = ("id",)
    columns: tuple[Column, ...] | None = None
    pages: Pages = field(default_factory=OnePage)
    incremental: Incremental | None = None
    params: Mapping[str, object] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    parent: Parent | None = None
    edit: Callable[[Record], Record] | None = None
    bucket: str = "calls"
    note: str = ""

    @property
    def cursor_field(self) -> str | None:
        """The column that grows with every change; None if there is none."""
        if self.incremental is not None:
            return self.incremental.field
        return None if self.parent is None else self.parent.cursor

    def described(self, columns: Sequence[Column]) -> Stream:
        """As the contract has it."""
        cursor = self.cursor_field
        rises = self.incremental is not None and self.incremental.ordered
        return Stream(
            name=self.name,
            schema=schema_of(column.field for column in columns),
            primary_key=self.primary_key,
            cursor_field=cursor,
            ordered=rises,
            modes=frozenset(SyncMode) if cursor else frozenset({SyncMode.FULL}),
            note=self.note,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A provider, as one connection reaches it.

    ``check`` is the path that a check asks for; None takes the first stream's.
    ``judge`` is `HttpClient.judge`.
    """

    title: str
    base_url: str
    streams: tuple[StreamSpec, ...]
    auth: Auth = field(default_factory=NoAuth)
    limits: Limits = field(default_factory=Limits)
    headers: tuple[tuple[str, str], ...] = ()
    check: str | None = None
    judge: Callable[[Answer], ConnectorError | None] = accept_all
    allow_private: bool = False
