"""What a request to PostgREST filters and orders by, as SQL."""

import re
from collections.abc import Mapping
from typing import LiteralString

from psycopg import sql

OPERATORS = {
    **{"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="},
    **{"like": "LIKE", "ilike": "ILIKE"},
}
RESERVED = {"select", "order", "limit", "offset", "on_conflict", "columns", "and", "or"}


class WrongError(Exception):
    """What is asked cannot be understood."""


def where_of(params: Mapping[str, str]) -> tuple[sql.Composable, list[str]]:
    parts: list[sql.Composable] = [sql.SQL("true")]
    values: list[str] = []
    for name, said in params.items():
        if name in ("and", "or"):
            parts.append(_logic(name, said, values))
        elif name not in RESERVED:
            parts.append(_condition(name, said, values, quoted=False))
    return sql.SQL(" AND ").join(parts), values


def _logic(operator: str, said: str, values: list[str]) -> sql.Composable:
    if not (said.startswith("(") and said.endswith(")")):
        raise WrongError(f"failed to parse logic tree ({said})")
    parts = []
    for part in split(said[1:-1]):
        found = re.match(r"(not\.)?(and|or)(\(.*\))$", part, re.DOTALL)
        if found:
            inner = _logic(found[2], found[3], values)
            parts.append(sql.SQL("NOT ") + inner if found[1] else inner)
            continue
        column, _, rest = _after_name(part)
        parts.append(_condition(column, rest, values, quoted=True))
    joined = sql.SQL(" AND " if operator == "and" else " OR ").join(parts)
    return sql.SQL("({})").format(joined)


def _condition(column: str, said: str, values: list[str], *, quoted: bool) -> sql.Composable:
    negated = said.startswith("not.")
    operator, _, value = said.removeprefix("not.").partition(".")
    name = sql.Identifier(name_of(column))
    if operator == "is":
        word: LiteralString = {"null": "NULL", "true": "TRUE", "false": "FALSE"}[value]  # type: ignore[assignment]
        made: sql.Composable = sql.SQL("{} IS ").format(name) + sql.SQL(word)
    elif operator == "in":
        listed = [name_of(one) for one in split(value[1:-1])]
        values.extend(listed)
        made = sql.SQL("{} IN ({})").format(
            name, sql.SQL(", ").join([sql.Placeholder()] * len(listed))
        )
    elif operator in OPERATORS:
        values.append(name_of(value) if quoted else value)
        made = sql.SQL("{} ").format(name) + sql.SQL(OPERATORS[operator] + " %s")
    else:
        raise WrongError(f"failed to parse filter ({said})")
    return sql.SQL("NOT ({})").format(made) if negated else made


def order_of(params: Mapping[str, str]) -> sql.Composable:
    if "order" not in params:
        return sql.SQL("")
    parts = []
    for one in split(params["order"]):
        column, _, rest = _after_name(one)
        words = {
            "asc": "ASC",
            "desc": "DESC",
            "nullsfirst": "NULLS FIRST",
            "nullslast": "NULLS LAST",
        }
        said = " ".join(words[word] for word in rest.split(".") if word)
        parts.append(sql.Identifier(name_of(column)) + sql.SQL(f" {said}"))
    return sql.SQL(" ORDER BY ") + sql.SQL(", ").join(parts)


def _after_name(text: str) -> tuple[str, str, str]:
    """A name, in quotes or plain, and what follows its point."""
    found = re.match(r'("(?:[^"\\]|\\.)*"|[^.]+)\.(.*)$', text, re.DOTALL)
    if not found:
        raise WrongError(f"failed to parse ({text})")
    return found[1], ".", found[2]


def name_of(text: str) -> str:
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def split(text: str) -> list[str]:
    """By commas that are in no quotes and no parentheses."""
    parts, depth, quoted, start = [], 0, False, 0
    place = 0
    while place < len(text):
        one = text[place]
        if quoted and one == "\\":
            place += 1
        elif one == '"':
            quoted = not quoted
        elif not quoted and one in "()":
            depth += 1 if one == "(" else -1
        elif not quoted and depth == 0 and one == ",":
            parts.append(text[start:place])
            start = place + 1
        place += 1
    return [*parts, text[start:]] if text else []
