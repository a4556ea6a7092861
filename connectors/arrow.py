"""How records are spelled in Arrow: exact types, where they come from, how they widen.

Arrow cannot say everything a database can, so a field may carry metadata:

* ``native``: the source's own type, ``postgresql:numeric(12,2)``; a destination of
  the same dialect creates the very same column from it;
* ``logical``: what a text storage stands for, one of `Logical`;
* ``digits`` and ``length``: the bounds of a decimal (``12,2``) and of a text.

Law: a type changes only to one that holds every value of both; whatever would
alter a value is a conflict that the tenant must resolve.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from connectors.described import (
    AnyField,
    DescribedField,
    Schema,
    arrow_field,
    same,
    schema_of,
    storage_of,
)
from connectors.errors import ConfigError
from connectors.late import pa

if TYPE_CHECKING:
    Field: TypeAlias = pa.Field[Any]
    DataType: TypeAlias = pa.DataType
else:
    Field = DataType = Any


class Logical(StrEnum):
    """What a text column stands for, when it is more than text.

    ``other`` is a type that the dialect itself brings (inet, int4range); ``user`` is one
    that somebody created there (domains, composites, extensions), and so is ``enum``.
    """

    JSON = "json"
    DECIMAL = "decimal"
    UUID = "uuid"
    TIME_TZ = "time_tz"
    INTERVAL = "interval"
    XML = "xml"
    ENUM = "enum"
    OTHER = "other"
    USER = "user"


OPAQUE = frozenset(
    {
        Logical.ENUM,
        Logical.OTHER,
        Logical.USER,
        Logical.XML,
        Logical.INTERVAL,
        Logical.TIME_TZ,
    }
)
"""Logical types that a plain text column holds as well as their own would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """A type as its own dialect spells it."""

    dialect: str
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """The bounds of a decimal: digits in all, and those after the point."""

    precision: int
    scale: int

    @property
    def whole(self) -> int:
        """Digits before the point."""
        return self.precision - self.scale


def field(
    name: str,
    type: DataType,
    *,
    nullable: bool = True,
    native: Native | None = None,
    logical: Logical | None = None,
    digits: Digits | None = None,
    length: int | None = None,
) -> Field:
    """An Arrow field with our metadata, and none at all when there is nothing to say."""
    metadata: Any = _metadata(native, logical, digits, length)
    return pa.field(name, type, nullable=nullable, metadata=metadata)


def described(
    name: str,
    storage: str,
    *,
    nullable: bool = True,
    native: Native | None = None,
    logical: Logical | None = None,
    digits: Digits | None = None,
    length: int | None = None,
) -> DescribedField:
    """The same as `field`, without Arrow: ``storage`` is the type as Arrow spells it."""
    metadata = _metadata(native, logical, digits, length)
    return DescribedField(name=name, storage=storage, nullable=nullable, metadata=metadata)


def _metadata(
    native: Native | None, logical: Logical | None, digits: Digits | None, length: int | None
) -> dict[bytes, bytes] | None:
    metadata: dict[str, str] = {}
    if native is not None:
        metadata["native"] = f"{native.dialect}:{native.type}"
    if logical is not None:
        metadata["logical"] = logical.value
    if digits is not None:
        metadata["digits"] = f"{digits.precision},{digits.scale}"
    if length is not None:
        metadata["length"] = str(length)
    return {key.encode(): text.encode() for key, text in metadata.items()} or None


def _meta(field: AnyField, key: str) -> str | None:
    found = (field.metadata or {}).get(key.encode())
    return None if found is None else found.decode()


def native_of(field: AnyField) -> Native | None:
    """The type as the source's dialect spells it, if the field came from a database."""
    dialect, colon, text = (_meta(field, "native") or "").partition(":")
    return Native(dialect=dialect, type=text) if colon else None


def logical_of(field: AnyField) -> Logical | None:
    """What the storage stands for; `Logical.OTHER` for a word that we do not know."""
    word = _meta(field, "logical")
    if word is None:
        return Logical.DECIMAL if _is_decimal(field) else None
    known = word in Logical.__members__.values()
    return Logical(word) if known else Logical.OTHER


def _is_decimal(field: AnyField) -> bool:
    return storage_of(field).startswith("decimal")


def digits_of(field: AnyField) -> Digits | None:
    """The bounds of a decimal field; None when it has no bounds or is no decimal."""
    if _is_decimal(field):
        kind: Any = field.type
        return Digits(precision=kind.precision, scale=kind.scale)
    text = _meta(field, "digits")
    if text is None:
        return None
    precision, _, scale = text.partition(",")
    return Digits(precision=int(precision), scale=int(scale or 0))


def length_of(field: AnyField) -> int | None:
    """The most characters that a text field may have; None when it has no bound."""
    text = _meta(field, "length")
    return None if text is None else int(text)


def storage(type: DataType) -> DataType:
    """The type beneath an extension type, also inside a list."""
    if isinstance(type, pa.BaseExtensionType):
        return storage(type.storage_type)
    if isinstance(type, pa.ListType | pa.LargeListType):
        return pa.list_(pa.field("item", storage(type.value_type)))
    return type


def evolved(present: Schema, arriving: Schema) -> Schema:
    """The schema that holds both: present columns first, widened; new ones after, nullable."""
    fields = [
        together(old, arriving.field(old.name)) if old.name in arriving.names else old
        for old in present
    ]
    added = [new.with_nullable(True) for new in arriving if new.name not in present.names]
    return schema_of([*fields, *added])


def together(present: AnyField, arriving: AnyField) -> AnyField:
    """The column that holds both; `ConfigError` where none can, as for `widened`."""
    if isinstance(present, DescribedField) and same(present, arriving):
        return present.with_nullable(present.nullable or arriving.nullable)
    return widened(arrow_field(present), arrow_field(arriving))


def widened(present: Field, arriving: Field) -> Field:
    """The narrowest field that holds every value of both; ``present`` itself if that does.

    `ConfigError` names the column, both types and what can be done.
    """
    wide = _widened(present, arriving)
    if wide is None:
        raise ConfigError(
            f"column {present.name!r} is {spelled(present)} at the destination and now "
            f"arrives as {spelled(arriving)}: no type holds both without altering values; "
            "leave the column out, cast it in a mapping, set on_conflict: variant, or write to "
            "a new table"
        )
    return wide.with_nullable(present.nullable or arriving.nullable)


def spelled(field: AnyField) -> str:
    """A field's type as a person knows it: the native one, the logical one, or Arrow's."""
    native = native_of(field)
    if native is not None:
        return native.type
    logical = logical_of(field)
    digits = digits_of(field)
    bounds = f"({digits.precision},{digits.scale})" if digits else ""
    return f"{logical.value}{bounds}" if logical else storage_of(field)


def _widened(old: Field, new: Field) -> Field | None:
    one, two = logical_of(old), logical_of(new)
    if one is Logical.DECIMAL or two is Logical.DECIMAL:
        return _wider_decimal(old, new)
    if one is not two:
        return _opaque(old, new)
    if _is_text(old.type) and _is_text(new.type):
        return _wider_text(old, new)
    if old.type.equals(new.type):
        return old
    if pa.types.is_list(old.type) and pa.types.is_list(new.type):
        return _wider_list(old, new)
    return _wider_plain(old, new)


def _opaque(old: Field, new: Field) -> Field | None:
    """Types without an Arrow of their own meet in plain text, which loses nothing of them."""
    sides = {logical_of(old), logical_of(new)}
    if not (_is_text(old.type) and _is_text(new.type)) or not sides <= {None, *OPAQUE}:
        return None
    if logical_of(old) is None and length_of(old) is None:
        return old
    return field(old.name, pa.string())


def _wider_plain(old: Field, new: Field) -> Field | None:
    """Between two different Arrow types: whichever takes the other whole."""
    if _takes(old.type, new.type):
        return old
    return field(old.name, new.type, native=native_of(new)) if _takes(new.type, old.type) else None


def _takes(wide: DataType, narrow: DataType) -> bool:
    """Whether every value of ``narrow`` is exactly a value of ``wide``."""
    types = pa.types
    if types.is_integer(wide) and types.is_integer(narrow):
        signed = types.is_signed_integer(wide), types.is_signed_integer(narrow)
        more = wide.bit_width - narrow.bit_width
        return more >= 0 if signed[0] == signed[1] else signed[0] and more > 0
    if types.is_float64(wide):
        small = types.is_integer(narrow) and narrow.bit_width <= 32
        return small or types.is_float32(narrow) or types.is_float16(narrow)
    if types.is_float32(wide):
        small = types.is_integer(narrow) and narrow.bit_width <= 16
        return small or types.is_float16(narrow)
    if isinstance(wide, pa.TimestampType):
        return _timestamp_takes(wide, narrow)
    binary = types.is_binary(wide) or types.is_large_binary(wide)
    return binary and (types.is_binary(narrow) or types.is_large_binary(narrow))


def _timestamp_takes(wide: Any, narrow: DataType) -> bool:
    if pa.types.is_date32(narrow):
        return wide.tz is None and wide.unit == "us"
    if not isinstance(narrow, pa.TimestampType) or (wide.tz is None) != (narrow.tz is None):
        return False
    finer = ("s", "ms", "us")
    if wide.unit == narrow.unit:
        return True
    return wide.unit in finer and narrow.unit in finer[: finer.index(wide.unit)]


def _is_text(type: DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type))


def _wider_text(old: Field, new: Field) -> Field:
    """Equal logical types in text; only their bounds and native spellings may differ."""
    longest, length = length_of(old), length_of(new)
    if longest is None or (length is not None and length <= longest):
        return old
    return field(
        old.name, pa.string(), native=native_of(new), logical=logical_of(new), length=length
    )


def _wider_list(old: Field, new: Field) -> Field | None:
    items = (pa.field(old.name, f.type.value_type) for f in (old, new))
    item = _widened(*items)
    if item is None:
        return None
    if item.type.equals(old.type.value_type):
        return old
    return field(old.name, pa.list_(item.type), native=native_of(new))


_INTEGER_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}


def _bounds(field: Field) -> tuple[bool, Digits | None]:
    """Whether the field is a number that a decimal can hold, and its digits if bounded."""
    if pa.types.is_integer(field.type):
        return True, Digits(precision=_INTEGER_DIGITS[field.type.bit_width], scale=0)
    return logical_of(field) is Logical.DECIMAL, digits_of(field)


def _wider_decimal(old: Field, new: Field) -> Field | None:
    (old_fits, have), (new_fits, need) = _bounds(old), _bounds(new)
    if not (old_fits and new_fits):
        return None
    if have is None:
        return old
    if need is not None and need.whole <= have.whole and need.scale <= have.scale:
        return old
    if need is None:
        return field(old.name, pa.string(), native=native_of(new), logical=Logical.DECIMAL)
    scale = max(have.scale, need.scale)
    both = Digits(precision=max(have.whole, need.whole) + scale, scale=scale)
    native = native_of(new) if both == need else None
    return field(old.name, pa.string(), native=native, logical=Logical.DECIMAL, digits=both)
