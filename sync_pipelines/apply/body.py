"""A single connection, sync, schedule or rule as a program wrote it, in JSON, planned like a file.

Each value of a body is given a line of its own, so that what is wrong with that line is
wrong with that field. Nothing of the environment is put in.

Law: what a file may say, a body may say, and it is refused for the same reasons.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import TypeAlias

from connectors.contract import Json
from connectors.errors import ConfigError
from sync_pipelines.apply.current import CurrentSync
from sync_pipelines.apply.document import Items, Node, Scalar, Table
from sync_pipelines.apply.manifest import End, Manifest, Wait, WantedSync
from sync_pipelines.apply.parse import Parsed, read_manifest
from sync_pipelines.apply.problems import ManifestError, Problems
from sync_pipelines.apply.timetable import CADENCE, POLICIES, read_schedule
from sync_pipelines.model.cadence import After
from sync_pipelines.model.sync import SyncStream

FILE = "the body"

Kept: TypeAlias = bool | int | float | str | None
"""What stands for itself in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """What is wrong with one field, by its dotted path; empty for the whole."""

    field: str
    message: str


class BodyError(ConfigError):
    """A body that is not taken. ``is_clash``: it is well written, but cannot stand beside what
    there is.
    """

    def __init__(self, wrong: Sequence[Wrong], *, is_clash: bool = False) -> None:
        self.wrong = tuple(wrong)
        self.is_clash = is_clash
        super().__init__("; ".join(one.message for one in self.wrong))


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body as nodes; ``paths`` says which field a line stands for."""

    root: Table
    paths: tuple[str, ...]

    def error(self, error: ManifestError, *, is_clash: bool = False) -> BodyError:
        """The same mistakes, by field instead of by line."""
        wrong = [Wrong(field=self._path(one.line), message=one.message) for one in error.problems]
        return BodyError(wrong, is_clash=is_clash)

    def _path(self, line: int) -> str:
        return self.paths[line] if line < len(self.paths) else ""


def body_of(value: Mapping[str, Json]) -> Body:
    """A JSON object, each value of which knows its path."""
    paths = [""]
    root = _node(value, "", paths)
    assert isinstance(root, Table)
    return Body(root=root, paths=tuple(paths))


def parsed_connection(body: Body, tenant: str, name: str) -> Parsed:
    """One connection: ``connector`` and ``config``."""
    return _parsed(body, tenant, name, key="connections")


def parsed_sync(body: Body, tenant: str, name: str) -> Parsed:
    """One sync, as a manifest has it, without schedules."""
    return _parsed(body, tenant, name, key="syncs")


def parsed_rule(body: Body, tenant: str, name: str) -> Parsed:
    """One rule of notifications."""
    return _parsed(body, tenant, name, key="notifications")


def parsed_alerts(body: Body, tenant: str) -> Parsed:
    """Where alerts begin and end: the whole body."""
    return _read({"tenant": Scalar(line=0, value=tenant), "alerts": body.root})


def parsed_schedule(
    body: Body,
    tenant: str,
    sync: CurrentSync,
    name: str,
    *,
    streams: tuple[SyncStream, ...] | None = None,
) -> Parsed:
    """One schedule of a sync that is there and stays as it is, but for ``streams``.

    ``cadence`` and ``policies`` are mappings; beside them stand ``timezone``,
    ``clock_change``, ``is_active`` and ``description``.
    """
    problems = Problems()
    flat = _flat(body.root, problems)
    schedule = read_schedule(name, flat, line=_line(body.root, "name"), problems=problems)
    waits: tuple[Wait, ...] = ()
    if schedule is not None and isinstance(schedule.cadence, After):
        line = flat.key_lines.get("sync", body.root.line)
        waits = (Wait(sync=sync.sync.name, cadence=schedule.cadence, line=line),)
    wanted = replace(
        as_it_is(sync),
        streams=sync.sync.streams if streams is None else streams,
        schedules=() if schedule is None else (schedule,),
    )
    manifest = Manifest(file=FILE, tenant=tenant, syncs=(wanted,), waits=waits)
    return Parsed(manifest=manifest, problems=tuple(problems.found))


def with_schedule(parsed: Parsed, schedule: Body, name: str) -> Parsed:
    """A new sync with its first schedule; mistakes of the schedule are the body's as a whole."""
    problems = Problems()
    found = read_schedule(name, _flat(schedule.root, problems), line=0, problems=problems)
    if found is None or problems.found:
        raise schedule.error(ManifestError(FILE, problems.found))
    syncs = tuple(replace(one, schedules=(found,)) for one in parsed.manifest.syncs)
    return replace(parsed, manifest=replace(parsed.manifest, syncs=syncs))


def as_it_is(current: CurrentSync) -> WantedSync:
    """A sync that a manifest wants to be what it is, and none of its schedules changed."""
    sync = current.sync
    return WantedSync(
        name=sync.name,
        line=0,
        source=End(role="source", name=sync.source.name, line=0),
        destination=End(role="destination", name=sync.destination.name, line=0),
        dataset=sync.dataset,
        streams=sync.streams,
        description=current.description,
        retry=sync.retry,
        breaker=sync.breaker,
        tags=sync.tags,
    )


def _parsed(body: Body, tenant: str, name: str, *, key: str) -> Parsed:
    kept = {key: value for key, value in body.root.entries.items() if key != "name"}
    lines = {key: line for key, line in body.root.key_lines.items() if key != "name"}
    one = Table(line=body.root.line, entries=kept, key_lines=lines)
    at = _line(body.root, "name")
    named = Table(line=at, entries={name: one}, key_lines={name: at})
    return _read({"tenant": Scalar(line=0, value=tenant), key: named})


def _read(entries: Mapping[str, Node]) -> Parsed:
    root = Table(line=0, entries=entries, key_lines=dict.fromkeys(entries, 0))
    problems = Problems()
    manifest = read_manifest(root, file=FILE, problems=problems)
    return Parsed(manifest=manifest, problems=tuple(problems.found))


def _flat(root: Table, problems: Problems) -> Table:
    """A schedule's mapping as a manifest has it, where cadence and policies are one."""
    entries: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for key, node in root.entries.items():
        if key in ("name", "sync"):
            continue
        if key not in _PARTS or not isinstance(node, Table):
            entries[key], lines[key] = node, root.key_lines[key]
            continue
        for inner, value in node.entries.items():
            line = node.key_lines[inner]
            if inner not in _PARTS[key]:
                takes = ", ".join(_PARTS[key])
                problems.add(line, f"unknown key {inner!r}; {key} takes {takes}")
                continue
            entries[inner], lines[inner] = value, line
    return Table(line=root.line, entries=entries, key_lines=lines)


_PARTS = {"cadence": CADENCE, "policies": POLICIES}


def _node(value: Json, path: str, paths: list[str]) -> Node:
    paths.append(path)
    line = len(paths) - 1
    match value:
        case Mapping():
            made: dict[str, Node] = {}
            for key, inner in value.items():
                made[key] = _node(inner, f"{path}.{key}" if path else key, paths)
            lines = {key: node.line for key, node in made.items()}
            return Table(line=line, entries=made, key_lines=lines)
        case list() | tuple():
            items = tuple(_node(inner, f"{path}.{at}", paths) for at, inner in enumerate(value))
            return Items(line=line, items=items)
        case None | bool() | int() | float() | str():
            return Scalar(line=line, value=_kept(value, path))
    raise TypeError(f"{path} is no JSON")


def _kept(value: Kept, path: str) -> Kept:
    """A value that a database can keep; `BodyError` if it cannot."""
    if isinstance(value, float) and not isfinite(value):
        raise BodyError([Wrong(field=path, message=f"{path} is not a finite number")])
    if isinstance(value, str) and _UNKEPT.search(value):
        message = f"{path} has a character that a database cannot keep"
        raise BodyError([Wrong(field=path, message=message)])
    return value


_UNKEPT = re.compile("[\0\ud800-\udfff]")


def _line(root: Table, key: str) -> int:
    return root.key_lines.get(key, root.line)
