"""What becomes of columns that a table did not have, or had otherwise: decided, not done.

Laws: nothing that arrives is altered to fit, and nothing is lost unless the tenant asked
for it: a value whose type its column cannot hold goes, as it is, to a column beside it,
``name__text``, and exactly one of the two holds it. A key and a cursor never move.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from connectors.arrow import Logical, evolved, logical_of, spelled, together
from connectors.described import (
    AnyField,
    DescribedField,
    DescribedSchema,
    Schema,
    arrow_field,
    same,
    schema_of,
)
from connectors.errors import ConfigError
from connectors.late import pa


class SchemaPolicy(StrEnum):
    """What new columns do: they are added, they end the execution, or they are left out."""

    EVOLVE = "evolve"
    FREEZE = "freeze"
    IGNORE_NEW = "ignore_new"


class OnConflict(StrEnum):
    """What a type does that a column cannot hold: ends the execution, or gets its own column."""

    FAIL = "fail"
    VARIANT = "variant"


WORDS = (
    *("text", "integer", "float", "boolean", "date", "time", "timestamp", "timestamptz"),
    *("binary", "list", "decimal", "json", "uuid"),
)
"""What may stand after ``__`` in the name of a variant column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How arriving columns become the table's.

    ``dropped`` are left out, ``moved`` go to a variant under another name, and
    ``emptied`` are columns of the table that these records have nothing for.
    """

    dropped: Collection[str] = ()
    moved: Mapping[str, str] = field(default_factory=dict)
    emptied: tuple[AnyField, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the columns stay as they are."""
        return not (self.dropped or self.moved or self.emptied)

    def schema(self, arriving: Schema) -> Schema:
        """The arriving columns as they will be written."""
        kept = (one for one in arriving if one.name not in self.dropped)
        named = (_named(one, self.moved.get(one.name, one.name)) for one in kept)
        return schema_of([*named, *(one.with_nullable(True) for one in self.emptied)])

    def table(self, data: pa.Table) -> pa.Table:
        """Records in those columns."""
        data = data.drop_columns([one for one in data.column_names if one in self.dropped])
        data = data.rename_columns([self.moved.get(name, name) for name in data.column_names])
        for one in self.emptied:
            empty = arrow_field(one.with_nullable(True))
            data = data.append_column(empty, pa.nulls(data.num_rows, empty.type))
        return data


def shaped(
    present: Schema | None,
    arrived: Schema | None,
    arriving: Schema,
    *,
    policy: SchemaPolicy,
    on_conflict: OnConflict,
    fixed: Collection[str],
) -> Shape:
    """The shape of ``arriving`` for a table of ``present`` columns, None if there is none yet.

    ``arrived`` are the columns that this read has brought before. `ConfigError` says
    which column does not fit, and what can be done. ``fixed`` are the key and the cursor.
    """
    known = evolved(present or DescribedSchema(()), arrived or DescribedSchema(()))
    dropped: set[str] = set()
    moved: dict[str, str] = {}
    emptied: dict[str, AnyField] = {}
    for one in arriving:
        is_new = present is not None and one.name not in present.names
        if is_new and _is_refused(one.name, policy, fixed):
            dropped.add(one.name)
        if one.name in dropped or one.name not in known.names:
            continue
        if _holds(known, one, on_conflict, policy, fixed):
            _refuse_widening(present, one, policy)
        else:
            moved[one.name] = _variant(known, one, arriving.names)
            emptied[one.name] = known.field(one.name)
        for variant in variants(one.name, known.names):
            if variant not in arriving.names and variant != moved.get(one.name):
                emptied[variant] = known.field(variant)
    return Shape(dropped=frozenset(dropped), moved=moved, emptied=tuple(emptied.values()))


def refuse_vanished(present: Schema, arriving: Schema, *, ours: Collection[str]) -> None:
    """`ConfigError` if a frozen table has a column that does not arrive any more."""
    for name in present.names:
        is_variant = any(name in variants(one, present.names) for one in arriving.names)
        if name not in arriving.names and name not in ours and not is_variant:
            raise ConfigError(
                f"the schema is frozen, and column {name!r} of the table does not arrive any "
                "more; its values are kept as they were. Bring it back at the source, or set "
                "schema: evolve"
            )


def variants(name: str, known: Collection[str]) -> list[str]:
    """The variant columns of a column that are there."""
    return [f"{name}__{word}" for word in WORDS if f"{name}__{word}" in known]


def _named(one: AnyField, name: str) -> AnyField:
    if name == one.name:
        return one
    if isinstance(one, DescribedField):
        return replace(one, name=name)
    return one.with_name(name)


def _is_refused(name: str, policy: SchemaPolicy, fixed: Collection[str]) -> bool:
    """Whether a new column is left out; `ConfigError` where that cannot be."""
    if policy is SchemaPolicy.EVOLVE:
        return False
    if policy is SchemaPolicy.FREEZE:
        raise ConfigError(
            f"the schema is frozen, and column {name!r} is new; add it to the table, leave it "
            "out at the source, or set schema: evolve"
        )
    if name in fixed:
        raise ConfigError(
            f"column {name!r} is the key or the cursor and the table does not have it, so it "
            "cannot be ignored; set schema: evolve, or write to a new table"
        )
    return True


def _holds(
    known: Schema,
    one: AnyField,
    on_conflict: OnConflict,
    policy: SchemaPolicy,
    fixed: Collection[str],
) -> bool:
    """Whether the column can hold what arrives, if need be once it is widened."""
    try:
        together(known.field(one.name), one)
    except ConfigError:
        moves = on_conflict is OnConflict.VARIANT and policy is not SchemaPolicy.FREEZE
        if moves and one.name not in fixed:
            return False
        raise
    return True


def _refuse_widening(present: Schema | None, one: AnyField, policy: SchemaPolicy) -> None:
    if policy is not SchemaPolicy.FREEZE or present is None or one.name not in present.names:
        return
    held = present.field(one.name)
    if not same(together(held, one), held):
        raise ConfigError(
            f"the schema is frozen, and column {one.name!r} is {spelled(held)} and now arrives "
            f"as {spelled(one)}; change the type at the destination, or set schema: evolve"
        )


def _variant(known: Schema, one: AnyField, arriving: Collection[str]) -> str:
    """The name of the column that takes it instead."""
    name = f"{one.name}__{_word(one)}"
    if name in arriving:
        raise ConfigError(
            f"column {one.name!r} does not hold what arrives, and its variant {name!r} is a "
            "column of the stream itself; rename one of them"
        )
    if name in known.names:
        together(known.field(name), _named(one, name))
    return name


def _word(one: AnyField) -> str:
    logical = logical_of(one)
    if logical in (Logical.DECIMAL, Logical.JSON, Logical.UUID):
        return logical.value
    kind, types = arrow_field(one).type, pa.types
    if types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    tests: Mapping[str, Callable[[pa.DataType], bool]] = {
        "integer": types.is_integer,
        "float": types.is_floating,
        "boolean": types.is_boolean,
        "date": types.is_date,
        "time": types.is_time,
        "binary": types.is_binary,
        "list": types.is_list,
    }
    return next((word for word, test in tests.items() if test(kind)), "text")
