"""Asks a mapping for its keys, one by one, and says what is wrong with each.

Law: what is asked for is what is allowed. A value that cannot be used is reported
and read as None, so that the rest of the file is still looked at.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from sync_pipelines.apply.document import Items, Node, Scalar, Table, hidden_in, is_nothing
from sync_pipelines.apply.problems import Problems, nearest

Choice = TypeVar("Choice", bound=StrEnum)

WORD = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NOT_A_WORD = (
    "cannot be a name; write at most 63 lower-case letters, digits, - and _, "
    "because names become parts of keys and addresses"
)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=3660)


class Fields:
    """One mapping, called ``what`` in messages ("a stream"), that may have these keys."""

    def __init__(self, table: Table, keys: Sequence[str], *, what: str, problems: Problems) -> None:
        self.table = table
        self._what = what
        self._problems = problems
        for key, line in table.key_lines.items():
            if key not in keys:
                hint = nearest(key, keys, what=f"{what} takes")
                problems.add(line, f"unknown key {key!r}; {hint}")

    def line(self, key: str) -> int:
        """Where a key stands, or else the mapping."""
        return self.table.key_lines.get(key, self.table.line)

    def node(self, key: str) -> Node | None:
        """A key's value as it is; None where there is none."""
        found = self.table.entries.get(key)
        return None if is_nothing(found) else found

    def wrong(self, key: str, message: str) -> None:
        """Report a key."""
        node = self.table.entries.get(key)
        line = node.line if isinstance(node, Scalar) else self.line(key)
        self._problems.add(line, message, hide=hidden_in(node) if node else None)

    def _value(self, key: str, right: str, *, required: bool) -> object:
        """A scalar's value, or None; anything else is reported."""
        node = self.node(key)
        if node is None:
            if required:
                self._problems.add(self.line(key), f"{self._what} needs {key}: {right}")
            return None
        if isinstance(node, Scalar):
            return None if node.broken else node.value
        shape = "a list" if isinstance(node, Items) else "a mapping"
        self.wrong(key, f"{key} is {shape}; write {right}")
        return None

    def text(self, key: str, *, right: str = "text", required: bool = False) -> str | None:
        """Text that is not empty."""
        value = self._value(key, right, required=required)
        if isinstance(value, str) and value.strip():
            return value
        if value is not None:
            quoted = "" if isinstance(value, str) else ", in quotes"
            self.wrong(key, f"{key} {value!r} is wrong; write {right}{quoted}")
        return None

    def word(self, key: str, *, required: bool = False) -> str | None:
        """A name that can be a part of ``tenant/sync``."""
        value = self.text(key, right="a lower-case word, such as acme", required=required)
        if value is None:
            return None
        if not WORD.fullmatch(value):
            self.wrong(key, f"{key} {value!r} {NOT_A_WORD}")
            return None
        return value

    def flag(self, key: str) -> bool | None:
        """``true`` or ``false``."""
        value = self._value(key, "true or false", required=False)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(key, f"{key} {value!r} is wrong; write true or false")
        return None

    def number(self, key: str, *, least: float, most: float, whole: bool = False) -> float | None:
        """A number within bounds; ``whole`` refuses fractions."""
        right = f"a {'whole ' if whole else ''}number {least:g} to {most:g}"
        value = self._value(key, right, required=False)
        kinds = (int,) if whole else (int, float)
        if value is None:
            return None
        if isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(key, f"{key} {value!r} is wrong; write {right}")
        return None

    def duration(self, key: str) -> timedelta | None:
        """``30s``, ``5m``, ``1h`` or ``2d``."""
        value = self._value(key, "30s, 5m, 1h or 2d", required=False)
        if value is None:
            return None
        written = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        if written is not None:
            found = timedelta(**{_UNITS[written[2]]: float(written[1])})
            if found <= LONGEST:
                return found
        self.wrong(key, f"{key} {value!r} is wrong; write 30s, 5m, 1h or 2d, at most 3660d")
        return None

    def choice(self, key: str, choices: type[Choice]) -> Choice | None:
        """One of an enumeration's words."""
        known = [str(choice) for choice in choices]
        value = self._value(key, f"one of {', '.join(known)}", required=False)
        if value is None:
            return None
        if isinstance(value, str) and value in known:
            return choices(value)
        hint = nearest(str(value), known, what="write one of")
        self.wrong(key, f"{key} {value!r} is not known; {hint}")
        return None

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of texts, each once."""
        node = self.node(key)
        if node is None or (isinstance(node, Scalar) and node.broken):
            return None
        items = node.items if isinstance(node, Items) else (node,)
        found = [item.value for item in items if isinstance(item, Scalar)]
        texts = tuple(value for value in found if isinstance(value, str) and value.strip())
        if not isinstance(node, Items) or len(texts) < len(items):
            if not any(isinstance(item, Scalar) and item.broken for item in items):
                self.wrong(key, f"{key} is wrong; write a list of names, such as [id, region]")
            return None
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            self.wrong(key, f"{key} names {twice!r} twice; name it once")
            return None
        return texts

    def items(self, key: str, *, required: bool = False) -> Sequence[Node]:
        """A list of anything; empty where there is none."""
        node = self.node(key)
        if isinstance(node, Items) and (node.items or not required):
            return node.items
        if required or node is not None:
            if isinstance(node, Scalar) and node.broken:
                return ()
            self._problems.add(self.line(key), f"{self._what} needs {key}: a list of them")
        return ()

    def fields(self, key: str, keys: Sequence[str], *, what: str) -> "Fields | None":
        """A mapping with known keys."""
        table = self.inner(key)
        if table is None:
            return None
        return Fields(table, keys, what=what, problems=self._problems)

    def inner(self, key: str) -> Table | None:
        """A mapping."""
        node = self.node(key)
        if node is None or isinstance(node, Table):
            return node
        if not (isinstance(node, Scalar) and node.broken):
            self.wrong(key, f"{key} is wrong; write a mapping of keys and values")
        return None

    def named(self, key: str, keys: Sequence[str], *, what: str) -> Mapping[str, "Fields"]:
        """A mapping from names to mappings with known keys; wrong names are reported."""
        table = self.inner(key)
        found = {}
        for name, node in table.entries.items() if table else ():
            assert table is not None
            line = table.key_lines[name]
            if not WORD.fullmatch(name):
                self._problems.add(line, f"name {name!r} {NOT_A_WORD}")
            elif isinstance(node, Table):
                found[name] = Fields(node, keys, what=what, problems=self._problems)
            elif not (isinstance(node, Scalar) and node.broken):
                takes = ", ".join(keys)
                self._problems.add(line, f"{name!r} is wrong; {what} is a mapping of: {takes}")
        return found
