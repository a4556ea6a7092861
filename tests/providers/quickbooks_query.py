"""QuickBooks' query language, as strict as Intuit describes it: no OR, no joins, no brackets."""

import re
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any

from connectors.testing.fake_api import Reply


def fault(
    code: str, message: str, detail: str = "", *, status: int = 400, kind: str = "ValidationFault"
) -> Reply:
    """A fault as Intuit spells it."""
    error = {"Message": message, "Detail": detail or message, "code": code, "element": ""}
    return Reply.json({"Fault": {"Error": [error], "type": kind}, "time": "now"}, status=status)


class RefusedError(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def refuse(code: str, message: str, detail: str = "", **more: Any) -> RefusedError:
    return RefusedError(fault(code, message, detail, **more))


CONDITION = re.compile(
    r"\s*([A-Za-z.]+)\s*(>=|<=|=|<|>|LIKE|IN)\s*"
    r"('(?:[^'\\]|\\.)*'|\d+(?:\.\d+)?|true|false|\((?:[^()']|'(?:[^'\\]|\\.)*')*\))\s*(?:AND\s|$)"
)
QUERY = re.compile(
    r"SELECT (?:\*|count\(\*\)) FROM (?P<entity>\w+)(?: WHERE (?P<where>.+?))?"
    r"(?: ORDERBY (?P<by>[A-Za-z.]+)(?: (?P<way>ASC|DESC))?)?"
    r"(?: STARTPOSITION (?P<start>\d+))?(?: MAXRESULTS (?P<most>\d+))?$",
    re.DOTALL,
)
COMPARED = {">=": ge, "<=": le, ">": gt, "<": lt}
VALUE = re.compile(r"'((?:[^'\\]|\\.)*)'|([^,\s]+)")


def at(record: Any, path: str) -> Any:
    for name in path.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return record


def comparable(value: Any) -> Any:
    if isinstance(value, dict):
        value = value.get("Address")
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    except (TypeError, ValueError):
        return str(value)


def conditions(where: str | None) -> list[tuple[str, str, list[str]]]:
    found, place = [], 0
    text = where or ""
    while place < len(text):
        match = CONDITION.match(text, place)
        if match is None or (text[match.end() :].strip() == "" and text.rstrip().endswith("AND")):
            raise refuse("4000", "Error parsing query", f"near {text[place : place + 20]!r}")
        values = [
            re.sub(r"\\(.)", r"\1", one[0]) if one[0] or not one[1] else one[1]
            for one in VALUE.findall(match[3].strip("()") if match[3][0] == "(" else match[3])
        ]
        found.append((match[1], match[2], values))
        place = match.end()
    return found


def fits(record: dict, wanted: list[tuple[str, str, list[str]]]) -> bool:
    for name, operator, values in wanted:
        held = comparable(at(record, name))
        one = comparable(values[0])
        if operator in ("=", "IN") and held not in [comparable(value) for value in values]:
            return False
        if operator in COMPARED and not COMPARED[operator](held, one):
            return False
        if operator == "LIKE" and not re.fullmatch(re.escape(one).replace("%", ".*"), held):
            return False
    return True
