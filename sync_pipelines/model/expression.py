"""A small language for values computed from a record's fields: parsed here, computed elsewhere.

Laws: an expression reads fields and nothing else, and takes time in proportion to its
length; what is wrong with it is said with its position, counted from 1.

::

    concat(trim(first_name), ' ', upper(last_name))
    if(total >= 100 and country = 'DE', 'large', 'small')
    round(net * 1.19, 2)

A name is a field; in double quotes it may hold anything. Text is in single quotes, a
quote within it is doubled.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from types import MappingProxyType
from typing import TypeAlias

LONGEST = 2000
"""Characters of an expression."""
DEEPEST = 40
"""How deep calls and brackets may be nested."""
MOST_DIGITS = 30

MANY = 100
FUNCTIONS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "lower": (1, 1),
        "upper": (1, 1),
        "trim": (1, 1),
        "length": (1, 1),
        "concat": (1, MANY),
        "coalesce": (1, MANY),
        "nullif": (2, 2),
        "replace": (3, 3),
        "substring": (2, 3),
        "round": (1, 2),
        "abs": (1, 1),
        "floor": (1, 1),
        "ceil": (1, 1),
        "year": (1, 1),
        "month": (1, 1),
        "day": (1, 1),
        "hour": (1, 1),
        "minute": (1, 1),
        "second": (1, 1),
        "date": (1, 1),
        "timestamp": (1, 1),
        "is_null": (1, 1),
        "if": (3, 3),
    }
)
"""The functions there are, each with the least and the most arguments it takes."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"|'(?P<text>(?:[^']|'')*)'"
    r'|"(?P<quoted>(?:[^"]|"")+)"'
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|!=|<>|[-+*/%=<>(),]))"
)
_COMPARED = ("=", "!=", "<>", "<=", ">=", "<", ">")
_CONSTANTS = MappingProxyType({"true": True, "false": False, "null": None})
_RESERVED = frozenset({"and", "or", "not", *_CONSTANTS})


class ExpressionError(ValueError):
    """An expression that cannot be read; ``position`` counts characters from 1."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(f"at character {position}: {message}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the expression."""

    value: str | int | Decimal | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the record, by its name at the source."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function of `FUNCTIONS`, or an operator by its sign; ``negate`` is the unary minus."""

    function: str
    arguments: "tuple[Expression, ...]"


Expression: TypeAlias = Literal | Column | Call


def parse_expression(text: str) -> Expression:
    """Read an expression; `ExpressionError` says where it is wrong, and what would be right."""
    if len(text) > LONGEST:
        raise ExpressionError(LONGEST + 1, f"the expression is longer than {LONGEST} characters")
    parser = _Parser(tuple(_tokens(text)), len(text) + 1)
    found = parser.either(0)
    parser.end()
    return found


def columns_of(expression: Expression) -> tuple[str, ...]:
    """The fields that an expression reads, each once, in their order."""
    return tuple(dict.fromkeys(_columns(expression)))


def _columns(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Column):
        yield expression.name
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _columns(argument)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise ExpressionError(start + 1, _unreadable(text[start]))
        kind = found.lastgroup
        yield _Token(kind=kind, text=found[kind], at=_start(found) + 1)
        at = found.end()


def _start(found: re.Match[str]) -> int:
    """Where a token begins, its quotes included."""
    blank = len(found[0]) - len(found[0].lstrip())
    return found.start() + blank


def _unreadable(character: str) -> str:
    if character in "'\"":
        return f"a quote {character} is opened and never closed"
    return f"{character!r} has no meaning here; put text in single quotes"


class _Parser:
    """Reads one expression, weakest binding first."""

    def __init__(self, tokens: Sequence[_Token], length: int) -> None:
        self._tokens = tokens
        self._length = length
        self._next = 0

    def end(self) -> None:
        """`ExpressionError` if something is left."""
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            raise ExpressionError(token.at, f"{token.text!r} comes after the expression's end")

    def either(self, depth: int) -> Expression:
        """``or``, and everything that binds closer."""
        left = self._both(depth)
        while self._word("or"):
            left = Call("or", (left, self._both(depth)))
        return left

    def _both(self, depth: int) -> Expression:
        left = self._negation(depth)
        while self._word("and"):
            left = Call("and", (left, self._negation(depth)))
        return left

    def _negation(self, depth: int) -> Expression:
        if self._word("not"):
            return Call("not", (self._negation(self._deeper(depth)),))
        left = self._sum(depth)
        sign = self._sign(_COMPARED)
        if sign is None:
            return left
        return Call("!=" if sign == "<>" else sign, (left, self._sum(depth)))

    def _sum(self, depth: int) -> Expression:
        left = self._product(depth)
        while (sign := self._sign(("+", "-"))) is not None:
            left = Call(sign, (left, self._product(depth)))
        return left

    def _product(self, depth: int) -> Expression:
        left = self._value(depth)
        while (sign := self._sign(("*", "/", "%"))) is not None:
            left = Call(sign, (left, self._value(depth)))
        return left

    def _value(self, depth: int) -> Expression:
        depth = self._deeper(depth)
        if self._sign(("-",)):
            return Call("negate", (self._value(depth),))
        if self._sign(("(",)):
            inner = self.either(depth)
            self._expect(")")
            return inner
        token = self._take("a field, a value or a function")
        match token.kind:
            case "number":
                return Literal(_number(token))
            case "text":
                return Literal(token.text.replace("''", "'"))
            case "quoted":
                return Column(token.text.replace('""', '"'))
            case "word":
                return self._named(token, depth)
        raise ExpressionError(token.at, f"{token.text!r} stands where a value should")

    def _named(self, token: _Token, depth: int) -> Expression:
        word = token.text.lower()
        if self._sign(("(",)):
            return self._call(token, depth)
        if word in _CONSTANTS:
            return Literal(_CONSTANTS[word])
        if word in _RESERVED:
            raise ExpressionError(token.at, f"{token.text!r} stands where a value should")
        return Column(token.text)

    def _call(self, token: _Token, depth: int) -> Expression:
        name = token.text.lower()
        if name not in FUNCTIONS:
            near = get_close_matches(name, FUNCTIONS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(FUNCTIONS)}"
            raise ExpressionError(token.at, f"there is no function {token.text!r}; {hint}")
        arguments: list[Expression] = []
        if not self._sign((")",)):
            arguments.append(self.either(depth))
            while self._sign((",",)):
                arguments.append(self.either(depth))
            self._expect(")")
        least, most = FUNCTIONS[name]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ExpressionError(
                token.at, f"{name} takes {wanted} arguments, and here are {len(arguments)}"
            )
        return Call(name, tuple(arguments))

    def _deeper(self, depth: int) -> int:
        if depth >= DEEPEST:
            at = self._tokens[self._next].at if self._next < len(self._tokens) else self._length
            raise ExpressionError(at, f"this is nested deeper than {DEEPEST}")
        return depth + 1

    def _take(self, wanted: str) -> _Token:
        if self._next == len(self._tokens):
            raise ExpressionError(self._length, f"the expression ends where {wanted} should stand")
        self._next += 1
        return self._tokens[self._next - 1]

    def _sign(self, signs: Sequence[str]) -> str | None:
        return self._skip("sign", signs)

    def _word(self, word: str) -> bool:
        return self._skip("word", (word,)) is not None

    def _skip(self, kind: str, texts: Sequence[str]) -> str | None:
        if self._next == len(self._tokens):
            return None
        token = self._tokens[self._next]
        if token.kind != kind or token.text.lower() not in texts:
            return None
        self._next += 1
        return token.text

    def _expect(self, sign: str) -> None:
        token = self._take(repr(sign))
        if token.kind != "sign" or token.text != sign:
            raise ExpressionError(token.at, f"{token.text!r} stands where {sign!r} should")


def _number(token: _Token) -> int | Decimal:
    if len(token.text) > MOST_DIGITS:
        raise ExpressionError(token.at, f"a number has at most {MOST_DIGITS} digits")
    value = Decimal(token.text)
    if "." in token.text:
        return value
    if value >= 2**63:
        raise ExpressionError(token.at, f"{token.text} is too large; write {token.text}.0")
    return int(token.text)
