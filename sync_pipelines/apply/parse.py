"""Reads a tenant's file into a manifest, and finds everything that is wrong with it.

What only the catalog can tell (connections that the file does not define) is left to
`sync_pipelines.apply.plan`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from connectors import registry
from connectors.contract import Deletes, SyncMode, WriteMode
from connectors.errors import ConfigError
from connectors.registry import Connector
from connectors.schema_policy import OnConflict, SchemaPolicy
from sync_pipelines.apply.document import (
    Node,
    Scalar,
    Table,
    hidden_in,
    is_broken,
    parse_document,
    plain,
)
from sync_pipelines.apply.fields import Fields
from sync_pipelines.apply.manifest import (
    End,
    Manifest,
    Wait,
    WantedConnection,
    WantedSchedule,
    WantedSync,
)
from sync_pipelines.apply.problems import Problem, Problems
from sync_pipelines.apply.recovery import BREAKER, RETRY, read_breaker, read_retry
from sync_pipelines.apply.rules import RULE, read_alerts, read_rules, read_tags
from sync_pipelines.apply.secret_fields import split_config
from sync_pipelines.apply.timetable import read_schedule
from sync_pipelines.model.cadence import After
from sync_pipelines.model.mapping import FieldMapping, MappingError, parse_mapping
from sync_pipelines.model.sync import SyncStream

TOP = ("tenant", "connections", "syncs", "notifications", "alerts")
CONNECTION = ("connector", "config")
SYNC = (
    "source",
    "destination",
    "dataset",
    "description",
    "schema",
    "on_conflict",
    "streams",
    "retry",
    "breaker",
    "schedules",
    "tags",
    "is_active",
    "pause_reason",
)
STREAM = (
    "name",
    "sync_mode",
    "write_mode",
    "cursor_field",
    "primary_key",
    "columns",
    "row_filter",
    "lag",
    "table",
    "deletes",
    "allow_empty",
    "most_deleted_percent",
    "mapping",
    "transform",
    "schema",
    "on_conflict",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What could be read of a file, and what is wrong with it. Apply it only if nothing is."""

    manifest: Manifest
    problems: tuple[Problem, ...]


def parse_manifest(text: str, *, file: str, environment: Mapping[str, str]) -> Parsed:
    """Read a file's text; ``environment`` is what ``${env:NAME}`` is looked up in."""
    problems = Problems()
    root = parse_document(text, environment=environment, problems=problems)
    manifest = Manifest(file=file, tenant="")
    if isinstance(root, Table):
        manifest = read_manifest(root, file=file, problems=problems)
    elif root is not None and not is_broken(root):
        problems.add(root.line, f"the file must be a mapping; it takes {', '.join(TOP)}")
    return Parsed(manifest=manifest, problems=tuple(problems.found))


def read_manifest(root: Table, *, file: str, problems: Problems) -> Manifest:
    """Read a file's root; what is wrong with it is added to ``problems``."""
    return _Reader(problems).read(root, file)


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._ends: list[End] = []
        self._waits: list[Wait] = []

    def read(self, root: Table, file: str) -> Manifest:
        top = Fields(root, TOP, what="the file", problems=self._problems)
        tenant = top.word("tenant", required=True)
        found = top.named("connections", CONNECTION, what="a connection")
        connections = {name: self._connection(name, fields) for name, fields in found.items()}
        syncs = [
            self._sync(name, fields)
            for name, fields in top.named("syncs", SYNC, what="a sync").items()
        ]
        rules = top.named("notifications", RULE, what="a rule")
        whole = tuple(connection for connection in connections.values() if connection)
        sound = tuple(sync for sync in syncs if sync)
        return Manifest(
            file=file,
            tenant=tenant or "",
            connections=whole,
            broken_connections=_written(top, "connections") - {one.name for one in whole},
            syncs=sound,
            broken_syncs=_written(top, "syncs") - {one.name for one in sound},
            ends=tuple(self._ends),
            waits=tuple(self._waits),
            rules=tuple(read_rules(rules, self._problems)),
            alerts=read_alerts(top.inner("alerts"), self._problems),
        )

    # --- connections -------------------------------------------------------------

    def _connection(self, name: str, fields: Fields) -> WantedConnection | None:
        known = ", ".join(registry.names())
        connector_name = fields.text("connector", right=f"one of {known}", required=True)
        table = fields.inner("config")
        if connector_name is None:
            return None
        try:
            connector = registry.get(connector_name)
        except ConfigError as error:
            fields.wrong("connector", str(error))
            return None
        node = table or Table(line=fields.line("config"), entries={}, key_lines={})
        if is_broken(fields.node("config") or node) or not self._fits(connector, node):
            return None
        values = {key: plain(value) for key, value in node.entries.items()}
        shown, secrets = split_config(connector.config, values)
        return WantedConnection(
            name=name,
            line=fields.table.line,
            connector=connector_name,
            config=shown,
            secrets=secrets,
        )

    def _fits(self, connector: Connector, config: Table) -> bool:
        """Whether a connector accepts its configuration; reported where the first wrong key is."""
        try:
            connector.parse({key: plain(value) for key, value in config.entries.items()})
        except ConfigError as error:
            line = _line_within(config, str(error).partition(":")[0].split("."))
            self._problems.add(line, f"config.{error}", hide=hidden_in(config))
            return False
        return True

    # --- syncs -------------------------------------------------------------------

    def _sync(self, name: str, fields: Fields) -> WantedSync | None:
        before = len(self._problems.found)
        source = self._end(fields, "source")
        destination = self._end(fields, "destination")
        dataset = fields.text("dataset", right="a schema's name")
        description = fields.text("description")
        tags = read_tags(fields)
        active = fields.flag("is_active")
        reason = self._pause_reason(fields, active)
        streams = self._streams(fields)
        retry = read_retry(fields.fields("retry", RETRY, what="retry"))
        breaker = read_breaker(fields.fields("breaker", BREAKER, what="breaker"))
        schedules = self._schedules(name, fields)
        if source is None or destination is None or len(self._problems.found) > before:
            return None
        return WantedSync(
            name=name,
            line=fields.table.line,
            source=source,
            destination=destination,
            dataset=dataset or name,
            streams=streams,
            description=description,
            retry=retry,
            breaker=breaker,
            is_active=active,
            pause_reason=reason,
            tags=tags,
            schedules=schedules,
        )

    def _pause_reason(self, fields: Fields, active: bool | None) -> str | None:
        reason = fields.text("pause_reason", right="why the sync is paused")
        if reason is not None and active is not False:
            fields.wrong(
                "pause_reason", "pause_reason is for a paused sync; write is_active: false"
            )
        return reason

    def _end(self, fields: Fields, role: str) -> End | None:
        name = fields.text(role, right="a connection's name", required=True)
        if name is None:
            return None
        end = End(role=role, name=name, line=fields.line(role), hidden=hidden_in(fields.table))
        self._ends.append(end)
        return end

    def _streams(self, fields: Fields) -> tuple[SyncStream, ...]:
        lines: dict[str, int] = {}
        found: list[SyncStream] = []
        hide = hidden_in(fields.table)
        usual = _schema_policy(fields)
        for node in fields.items("streams", required=True):
            stream = self._stream(node, usual)
            if stream is None:
                continue
            if stream.name in lines:
                first = lines[stream.name]
                self._problems.add(
                    node.line,
                    f"stream {stream.name!r} stands here again; first in line {first}",
                    hide=hide,
                )
                continue
            others = [one for one in found if one.clashes_with(stream)]
            if others:
                self._problems.add(
                    node.line,
                    f"streams {others[0].name!r} and {stream.name!r} both write table "
                    f"{stream.table_name!r}, which they may if all have write_mode upsert and one "
                    "at most has deletes; else give one of them another with `table`",
                    hide=hide,
                )
            lines[stream.name] = node.line
            found.append(stream)
        return tuple(found)

    def _stream(self, node: Node, usual: Mapping[str, StrEnum]) -> SyncStream | None:
        """``usual`` is what the sync says of all its streams."""
        if isinstance(node, Scalar):
            if node.broken:
                return None
            if isinstance(node.value, str) and node.value.strip():
                return SyncStream(name=node.value, **usual)  # type: ignore[arg-type]
        if not isinstance(node, Table):
            self._problems.add(
                node.line,
                "a stream is its name, or a mapping such as {name: orders, sync_mode: full}",
            )
            return None
        fields = Fields(node, STREAM, what="a stream", problems=self._problems)
        before = len(self._problems.found)
        chosen = {
            "name": fields.text("name", right="the stream's name", required=True),
            "sync_mode": fields.choice("sync_mode", SyncMode),
            "write_mode": fields.choice("write_mode", WriteMode),
            "cursor_field": fields.text("cursor_field", right="a column's name"),
            "primary_key": fields.texts("primary_key"),
            "columns": fields.texts("columns"),
            "row_filter": fields.text("row_filter", right="a condition in the source's language"),
            "lag": fields.duration("lag"),
            "table": fields.text("table", right="a table's name"),
            "deletes": fields.choice("deletes", Deletes),
            "allow_empty": fields.flag("allow_empty"),
            "most_deleted_percent": fields.number(
                "most_deleted_percent", least=0, most=100, whole=True
            ),
            "mapping": self._mapping(fields),
            "transform": fields.text("transform", right="a function, such as shop_rules:clean"),
            **usual,
            **_schema_policy(fields),
        }
        if chosen["name"] is None or len(self._problems.found) > before:
            return None
        try:
            return SyncStream(**{key: value for key, value in chosen.items() if value is not None})  # type: ignore[arg-type]
        except ValueError as error:
            self._problems.add(node.line, str(error), hide=hidden_in(node))
            return None

    def _mapping(self, fields: Fields) -> FieldMapping | None:
        table = fields.inner("mapping")
        if table is None or is_broken(table):
            return None
        try:
            return parse_mapping(plain(table))
        except MappingError as error:
            line = _line_within(table, list(error.path))
            self._problems.add(line, str(error), hide=hidden_in(table))
            return None

    def _schedules(self, sync: str, fields: Fields) -> tuple[WantedSchedule, ...]:
        table = fields.inner("schedules")
        found = []
        for name, node in table.entries.items() if table else ():
            assert table is not None
            line = table.key_lines[name]
            schedule = read_schedule(name, node, line=line, problems=self._problems)
            if schedule is None:
                continue
            found.append(schedule)
            if isinstance(schedule.cadence, After):
                at = _line_within(node, ["sync"]) if isinstance(node, Table) else line
                hidden = hidden_in(node)
                wait = Wait(sync=sync, cadence=schedule.cadence, line=at, hidden=hidden)
                self._waits.append(wait)
        return tuple(found)


def _schema_policy(fields: Fields) -> Mapping[str, StrEnum]:
    """What a sync, or one stream of it, says of columns that change."""
    policy = fields.choice("schema", SchemaPolicy)
    on_conflict = fields.choice("on_conflict", OnConflict)
    chosen = {"schema_policy": policy, "on_conflict": on_conflict}
    return {key: value for key, value in chosen.items() if value is not None}


def _written(top: Fields, key: str) -> frozenset[str]:
    """The names that stand in a mapping, whatever stands behind them."""
    named = top.table.entries.get(key)
    return frozenset(named.entries if isinstance(named, Table) else ())


def _line_within(table: Table, path: list[str]) -> int:
    """The line of the key that a path leads to, as far as it can be followed."""
    line = table.line
    for part in path:
        if part not in table.key_lines:
            return line
        line = table.key_lines[part]
        inner = table.entries[part]
        if not isinstance(inner, Table):
            return line
        table = inner
    return line
