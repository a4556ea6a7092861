"""What a written table consists of: its objects, its columns, and every stream's state.

Law: the manifest is replaced as a whole, by whoever has seen the present one. What it does
not name is not part of the table, so data, rejected records, counts and state become true
together.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from connectors.contract import Committed, Counts, State, Target
from connectors.errors import ConfigError
from connectors.files.kinds import kind_of

NAME = "_manifest.json"
DATA, REJECTED = "data", "rejected"
"""The folders of a table's objects, within its directory."""
VERSION = 1
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_MOST_CHARACTERS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One object of a table, by its name within the table's directory.

    ``longest`` is its longest record in bytes, where its format has lines.
    """

    name: str
    rows: int
    bytes: int
    longest: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a stream has committed; ``commits`` counts those of its last execution."""

    committed: Committed
    commits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One state of a table. ``rejected`` are objects of records that could not be used."""

    schema: pa.Schema
    parts: tuple[Part, ...] = ()
    rejected: tuple[Part, ...] = ()
    known: Mapping[str, Known] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Records in the table."""
        return sum(part.rows for part in self.parts)

    def of(self, target: Target) -> Known | None:
        """What the target's stream has committed."""
        return self.known.get(_key(target))

    def knowing(self, target: Target, known: Known) -> Manifest:
        """With another state of the target's stream."""
        return replace(self, known={**self.known, _key(target): known})

    def text(self) -> bytes:
        """As JSON; ``columns`` are for people and other programs, ``declare`` for our source."""
        return json.dumps(
            {
                "version": VERSION,
                "rows": self.rows,
                "files": [_named(part) for part in self.parts],
                "rejected": [_named(part) for part in self.rejected],
                "columns": {one.name: str(one.type) for one in self.schema},
                "declare": {one.name: str(kind_of(one)) for one in self.schema},
                "states": {key: _spelled(known) for key, known in sorted(self.known.items())},
                "arrow_schema": base64.b64encode(self.schema.serialize().to_pybytes()).decode(),
            },
            ensure_ascii=False,
            indent=1,
        ).encode()

    @classmethod
    def parse(cls, content: bytes, name: str) -> Manifest:
        """What `text` wrote; `ConfigError` for anything else."""
        try:
            found = json.loads(content)
            if found["version"] != VERSION:
                raise ValueError(f"version {found['version']} is not {VERSION}")
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(found["arrow_schema"])))
            parts = tuple(Part(**part) for part in found["files"])
            # Manifests of earlier versions have none.
            rejected = tuple(Part(**part) for part in found.get("rejected", ()))
            known = {key: _known(one) for key, one in found["states"].items()}
        except (ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
            raise ConfigError(
                f"{name!r} is no manifest of ours; write to another table, or remove it"
            ) from error
        return cls(schema=schema, parts=parts, rejected=rejected, known=known)


def directory(dataset: str, table: str) -> str:
    """Where a table's objects are; any name makes a directory, and no two names the same one."""
    return f"{folder_of(dataset)}/{_folder(table)}"


def folder_of(dataset: str) -> str:
    """Where a dataset's tables are."""
    return _folder(dataset or "default")


def table_of(target: Target) -> str:
    """Where a target's objects are."""
    return directory(target.dataset, target.table)


def part_name(target: Target, number: int, digest: str, *, folder: str, suffix: str) -> str:
    """The same records of the same commit always have the same name."""
    of = f"{target.owner}\n{target.stream}\n{target.execution}"
    mark = blake2b(of.encode(), digest_size=8).hexdigest()
    return f"{folder}/{mark}-{number:06d}-{digest}{suffix}"


def _folder(name: str) -> str:
    if _PLAIN.fullmatch(name) and len(name) <= _MOST_CHARACTERS:
        return name
    spelled = quote(name, safe=" ").replace(".", "%2E")
    if len(spelled) <= _MOST_CHARACTERS:
        return spelled
    mark = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{spelled[:_MOST_CHARACTERS].rpartition('%')[0] or spelled[:60]}~{mark}"


def _key(target: Target) -> str:
    return json.dumps([target.owner, target.stream], ensure_ascii=False)


def _named(part: Part) -> Mapping[str, Any]:
    """Without what earlier versions do not know, where it says nothing."""
    return {key: value for key, value in asdict(part).items() if key != "longest" or value}


def _spelled(known: Known) -> Mapping[str, Any]:
    committed = known.committed
    state = committed.state
    at = committed.committed_at
    return {
        "state": None if state is None else {"version": state.version, "value": dict(state.value)},
        "execution": committed.execution,
        "finished": committed.finished,
        "counts": asdict(committed.counts),
        "committed_at": None if at is None else at.isoformat(),
        "commits": known.commits,
    }


def _known(found: Mapping[str, Any]) -> Known:
    state, at = found["state"], found["committed_at"]
    return Known(
        committed=Committed(
            state=None if state is None else State(version=state["version"], value=state["value"]),
            execution=found["execution"],
            finished=found["finished"],
            counts=Counts(**found["counts"]),
            committed_at=None if at is None else datetime.fromisoformat(at),
        ),
        commits=found["commits"],
    )


def names_of(parts: Sequence[Part]) -> frozenset[str]:
    """The parts' names."""
    return frozenset(part.name for part in parts)
