"""YAML as plain nodes that know their line, with ``${env:NAME}`` already replaced.

Laws: a key stands once in a mapping; text stays what was written (a date is not
turned into anything else); a value that came from the environment is never part of
a message.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from connectors.contract import Json
from sync_pipelines.apply.problems import Problems

ENVIRONMENT = re.compile(r"\$\{env:([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAG = "tag:yaml.org,2002:"
_AS_WRITTEN = ("str", "timestamp", "value", "merge")
MOST_NODES = 100_000
DEEPEST = 50
"""Both far beyond any real file; aliases of aliases would otherwise grow without bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A text, number, truth value or nothing.

    ``hidden`` maps values of the environment to their spelling in the file; a
    ``broken`` one has been reported, and nothing more is to be said of it.
    """

    line: int
    value: bool | int | float | str | None = field(default=None, repr=False)
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list."""

    line: int
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping; ``key_lines`` says where each key stands."""

    line: int
    entries: Mapping[str, "Node"]
    key_lines: Mapping[str, int]


Node: TypeAlias = Scalar | Items | Table


def plain(node: Node) -> Json:
    """The node without its lines."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.items]
        case Table():
            return {key: plain(value) for key, value in node.entries.items()}


def hidden_in(node: Node) -> Mapping[str, str]:
    """Every environment value within the node, and how the file spells it."""
    match node:
        case Scalar():
            return node.hidden
        case Items():
            inner = node.items
        case Table():
            inner = tuple(node.entries.values())
    return {value: spelling for one in inner for value, spelling in hidden_in(one).items()}


def is_nothing(node: Node | None) -> bool:
    """No key, or a key with no value behind it."""
    return node is None or (isinstance(node, Scalar) and node.value is None and not node.broken)


def is_broken(node: Node) -> bool:
    """Whether something within the node has been reported already."""
    match node:
        case Scalar():
            return node.broken
        case Items():
            return any(is_broken(item) for item in node.items)
        case Table():
            return any(is_broken(value) for value in node.entries.values())


def parse_document(text: str, *, environment: Mapping[str, str], problems: Problems) -> Node | None:
    """The file's one document; None when it is empty or not YAML at all."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(mark.line + 1 if mark else 1, _syntax(error))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problems.add(line, f"character {error.character!r} is not allowed in YAML; remove it")
        return None
    except RecursionError:
        problems.add(1, "the file is nested too deeply to be read")
        return None
    if root is None:
        problems.add(1, "the file is empty; write tenant, connections and syncs")
        return None
    return _Builder(environment, problems).build(root, root.start_mark.line + 1)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or error.context or "it cannot be read"
    if "another document" in said:
        return "a second document starts here; write one document a file, without '---'"
    return f"this is not YAML: {said}"


class _Builder:
    def __init__(self, environment: Mapping[str, str], problems: Problems) -> None:
        self._environment = environment
        self._problems = problems
        self._loader = yaml.SafeLoader("")
        self._nodes = 0

    def build(self, node: yaml.Node, line: int, depth: int = 0) -> Node:
        """``line`` is where the node's key stands, if it has one."""
        self._nodes += 1
        if self._nodes > MOST_NODES or depth > DEEPEST:
            return self._broken(line, "the file is too large or too deep; aliases may repeat it")
        if isinstance(node, yaml.MappingNode):
            return self._table(node, line, depth)
        if isinstance(node, yaml.SequenceNode):
            found = (self.build(item, item.start_mark.line + 1, depth + 1) for item in node.value)
            return Items(line=line, items=tuple(found))
        return self._scalar(node)

    def _broken(self, line: int, message: str) -> Scalar:
        self._problems.add(line, message)
        return Scalar(line=line, broken=True)

    def _table(self, node: yaml.MappingNode, line: int, depth: int) -> Table:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            at = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.add(at, "a key must be a word, not a list or a mapping")
                continue
            key = key_node.value
            if key in entries:
                first = lines[key]
                self._problems.add(at, f"key {key!r} stands here again; first in line {first}")
                continue
            entries[key], lines[key] = self.build(value_node, at, depth + 1), at
        return Table(line=line, entries=entries, key_lines=lines)

    def _scalar(self, node: yaml.Node) -> Scalar:
        line = node.start_mark.line + 1
        kind = node.tag.removeprefix(_TAG)
        if kind in _AS_WRITTEN:
            return self._text(node.value, line)
        if kind not in ("null", "bool", "int", "float"):
            return self._broken(line, f"tag {node.tag!r} is not known here; leave it out")
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError):
            return self._broken(line, f"{node.value!r} is not a {kind}; put quotes around text")
        if isinstance(value, float) and not math.isfinite(value):
            return self._broken(line, f"{node.value!r} is not a finite number")
        return Scalar(line=line, value=value)

    def _text(self, written: str, line: int) -> Scalar:
        hidden: dict[str, str] = {}
        for reference in ENVIRONMENT.finditer(written):
            name = reference[1]
            if not _NAME.fullmatch(name):
                return self._broken(line, f"{reference[0]!r} should be ${{env:NAME}}")
            if name not in self._environment:
                return self._broken(line, f"environment variable {name!r} is not set; set it")
            hidden[self._environment[name]] = reference[0]
        text = ENVIRONMENT.sub(lambda reference: self._environment[reference[1]], written)
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            return self._broken(line, "the text has a character that a database cannot keep")
        return Scalar(line=line, value=text, hidden={**hidden, text: written} if hidden else {})
