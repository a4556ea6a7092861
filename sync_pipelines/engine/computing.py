"""Computes a mapping's expressions over whole columns, exactly where that is possible.

Laws: integers and decimals are computed with exactly, and an overflow or a division by zero
is an error of the record, not another number; NULL is what most things make of NULL.

Arrow's own errors are let through: the caller knows whether they are one record's.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeAlias

from connectors.arrow import Digits, Logical, digits_of, logical_of
from connectors.errors import ConfigError
from connectors.late import pa, pc
from sync_pipelines.model.expression import Call, Column, Expression, Literal

Value: TypeAlias = Any
"""An Arrow column, or a scalar that stands for a column of it."""

UNBOUNDED = Digits(precision=36, scale=9)
"""What a decimal of no stated bounds is computed with."""
MOST_DIGITS = 76
DIVIDED = 9
"""Digits after the point that a division of whole numbers or decimals has, at the least."""
_WHOLE = 19
"""Digits of the largest integer."""


def compute(expression: Expression, table: "pa.Table") -> Value:
    """The expression's value for every record of ``table``."""
    match expression:
        case Literal():
            written: Any = expression.value
            return pa.scalar(written)
        case Column():
            return loaded(table, expression.name)
        case Call():
            values = [compute(argument, table) for argument in expression.arguments]
            if expression.function in _WRITTEN:
                return _WRITTEN[expression.function](values, _written(expression))
            return _FUNCTIONS[expression.function](*values)


def loaded(table: "pa.Table", name: str) -> Value:
    """A column as it is computed with: text that stands for a decimal becomes one."""
    field, column = table.schema.field(name), table.column(name)
    kind = column.type
    if logical_of(field) is Logical.DECIMAL:
        digits = digits_of(field) or UNBOUNDED
        return column.cast(pa.decimal256(min(digits.precision, MOST_DIGITS), digits.scale))
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_large_string(kind):
        return column.cast(pa.string())
    return column


def _written(call: Call) -> list[Any]:
    """The arguments after the first, which must stand in the expression itself."""
    found: list[Any] = []
    for argument in call.arguments[1:]:
        if isinstance(argument, Call) and argument.function == "negate":
            inner = argument.arguments[0]
            if isinstance(inner, Literal) and isinstance(inner.value, int):
                found.append(-inner.value)
                continue
        if not isinstance(argument, Literal):
            raise ConfigError(f"{call.function} takes only written values after its first argument")
        found.append(argument.value)
    return found


def _wants(kind: type, values: list[Any], function: str, words: str) -> None:
    for value in values:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ConfigError(f"{function} takes {words}, and not {value!r}")


def _replace(values: list[Value], written: list[Any]) -> Value:
    _wants(str, written, "replace", "written text after its first argument")
    return pc.replace_substring(values[0], pattern=written[0], replacement=written[1])


def _substring(values: list[Value], written: list[Any]) -> Value:
    _wants(int, written, "substring", "a written start, from 1, and a length")
    start = written[0] - 1
    if start < 0 or any(number < 0 for number in written):
        raise ConfigError("substring counts characters from 1")
    stop = start + written[1] if len(written) > 1 else None
    return pc.utf8_slice_codeunits(values[0], start=start, stop=stop)


def _round(values: list[Value], written: list[Any]) -> Value:
    _wants(int, written, "round", "a written number of digits")
    digits = written[0] if written else 0
    value = pc.round(values[0], ndigits=digits, round_mode="half_towards_infinity")
    return _scaled(value, digits)


def _scaled(value: Value, digits: int) -> Value:
    """A decimal without the zeros that rounding has left."""
    if not pa.types.is_decimal(value.type) or not 0 <= digits < value.type.scale:
        return value
    return value.cast(pa.decimal256(value.type.precision, digits))


def _divide(left: Value, right: Value) -> Value:
    """Never cut to whole numbers: integers make a decimal, of at least `DIVIDED` digits."""
    left, right = _decimal(left), _decimal(right)
    if pa.types.is_decimal(left.type) and pa.types.is_decimal(right.type):
        above, below = left.type, right.type
        # Arrow keeps so many: https://arrow.apache.org/docs/cpp/compute.html
        lacking = DIVIDED - (above.scale + below.precision - below.scale + 1)
        if lacking > 0:
            left = left.cast(pa.decimal256(above.precision + lacking, above.scale + lacking))
    return pc.divide_checked(left, right)


def _decimal(value: Value) -> Value:
    """An integer as a decimal; anything else as it is."""
    if not pa.types.is_integer(value.type):
        return value
    if isinstance(value, pa.Scalar) and value.is_valid:
        return pa.scalar(Decimal(value.as_py()))
    return value.cast(pa.decimal256(_WHOLE, 0))


def _modulo(left: Value, right: Value) -> Value:
    if not (pa.types.is_integer(left.type) and pa.types.is_integer(right.type)):
        raise ConfigError("% takes two integers")
    times = pc.multiply_checked(pc.divide_checked(left, right), right)
    return pc.subtract_checked(left, times)


def _concat(*values: Value) -> Value:
    """NULL counts as no text."""
    texts = [pc.coalesce(value.cast(pa.string()), pa.scalar("")) for value in values]
    return pc.binary_join_element_wise(*texts, "")


def _if(condition: Value, true: Value, false: Value) -> Value:
    return pc.if_else(pc.coalesce(condition, pa.scalar(False)), true, false)


def _nullif(value: Value, other: Value) -> Value:
    same = pc.coalesce(pc.equal(value, other), pa.scalar(False))
    return pc.if_else(same, pa.scalar(None, value.type), value)


def _date(value: Value) -> Value:
    return _cast(_trimmed(value), pa.date32())


def _timestamp(value: Value) -> Value:
    """An instant; text that names no offset is read as UTC."""
    if not pa.types.is_string(value.type):
        return _cast(value, pa.timestamp("us", "UTC"))
    has_zone = pc.match_substring_regex(value, r":[0-9.]+ *(Z|[+-][0-9]{2}(:?[0-9]{2})?)$")
    zoned = pc.if_else(has_zone, _trimmed(value), _concat(_trimmed(value), pa.scalar("Z")))
    dated = pc.replace_substring_regex(
        zoned, pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})Z$", replacement=r"\1T00:00:00Z"
    )
    known = pc.if_else(pc.is_valid(value), dated, pa.scalar(None, pa.string()))
    return _cast(known, pa.timestamp("us", "UTC"))


def _trimmed(value: Value) -> Value:
    return pc.utf8_trim_whitespace(value) if pa.types.is_string(value.type) else value


def _cast(value: Value, kind: "pa.DataType") -> Value:
    """A time of day is what a date leaves out."""
    cuts = pa.types.is_timestamp(value.type) and pa.types.is_date32(kind)
    return pc.cast(value, kind, safe=not cuts)


def _part(name: str) -> Callable[[Value], Value]:
    return lambda value: getattr(pc, name)(value)


def _length(value: Value) -> Value:
    return pc.utf8_length(value).cast(pa.int64())


_WRITTEN: Mapping[str, Callable[[list[Value], list[Any]], Value]] = MappingProxyType(
    {"replace": _replace, "substring": _substring, "round": _round}
)
"""Functions whose arguments after the first are written out."""

_FUNCTIONS: Mapping[str, Callable[..., Value]] = MappingProxyType(
    {
        "lower": _part("utf8_lower"),
        "upper": _part("utf8_upper"),
        "trim": _part("utf8_trim_whitespace"),
        "length": _length,
        "concat": _concat,
        "coalesce": lambda *values: pc.coalesce(*values),
        "nullif": _nullif,
        "abs": _part("abs_checked"),
        "floor": lambda value: _scaled(pc.floor(value), 0),
        "ceil": lambda value: _scaled(pc.ceil(value), 0),
        **{name: _part(name) for name in ("year", "month", "day", "hour", "minute", "second")},
        "date": _date,
        "timestamp": _timestamp,
        "is_null": _part("is_null"),
        "if": _if,
        "and": lambda left, right: pc.and_kleene(left, right),
        "or": lambda left, right: pc.or_kleene(left, right),
        "not": _part("invert"),
        "=": lambda left, right: pc.equal(left, right),
        "!=": lambda left, right: pc.not_equal(left, right),
        "<": lambda left, right: pc.less(left, right),
        "<=": lambda left, right: pc.less_equal(left, right),
        ">": lambda left, right: pc.greater(left, right),
        ">=": lambda left, right: pc.greater_equal(left, right),
        "+": lambda left, right: pc.add_checked(left, right),
        "-": lambda left, right: pc.subtract_checked(left, right),
        "*": lambda left, right: pc.multiply_checked(left, right),
        "/": _divide,
        "%": _modulo,
        "negate": _part("negate_checked"),
    }
)
