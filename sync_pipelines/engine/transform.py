"""Runs a tenant's own Python function over each batch, as a pandas DataFrame.

Laws: only modules that the installation allows are imported, and pandas only then; every
record and column that was given comes back, under the same key and in the same type, so
that a mistake in the function is an error and not another table.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from connectors.contract import Batch, PgCopy
from connectors.errors import ConfigError, ContractError
from connectors.late import pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """A function by its name, ``module:function``; ``key`` tells records from others."""

    name: str
    function: Callable[[Any], Any]
    key: tuple[str, ...]

    @classmethod
    def load(cls, name: str, *, allowed: Sequence[str], key: tuple[str, ...]) -> "Transform":
        """`ConfigError` unless its module is allowed and has such a function."""
        module, _, function = name.partition(":")
        if module not in allowed:
            known = ", ".join(allowed) or "none"
            raise ConfigError(
                f"transform {name!r} is in a module that is not allowed here; allowed are: "
                f"{known} (setting SYNC_TRANSFORM_MODULES)"
            )
        try:
            found = getattr(import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"transform {name!r} cannot be loaded: {error}") from error
        if not callable(found):
            raise ConfigError(f"transform {name!r} is not a function")
        return cls(name=name, function=found, key=key)

    def apply(self, batch: Batch) -> Batch:
        """One batch; `ConfigError` where the function did what it must not."""
        if isinstance(batch.data, PgCopy):
            raise ContractError("a transformed stream was read as pgcopy, which nobody decodes")
        if not batch.data.num_rows:
            return batch
        return replace(batch, data=self._checked(batch.data, self._called(batch.data)))

    def _called(self, given: "pa.Table") -> "pa.Table":
        import pandas as pd

        frame = self.function(given.to_pandas(types_mapper=pd.ArrowDtype))
        if not isinstance(frame, pd.DataFrame):
            raise self._wrong(f"returned {type(frame).__name__}; return the DataFrame")
        try:
            return pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise self._wrong("returned a column of mixed types; give it one type") from error

    def _checked(self, given: "pa.Table", made: "pa.Table") -> "pa.Table":
        for field in given.schema:
            if field.name not in made.column_names:
                raise self._wrong(f"lost column {field.name!r}; leave it in, or omit it in mapping")
            kind = made.schema.field(field.name).type
            if not kind.equals(field.type):
                raise self._wrong(
                    f"turned column {field.name!r} from {field.type} into {kind}; keep its type, "
                    "or put the result in a new column"
                )
        if made.num_rows != given.num_rows or self._keys(made) != self._keys(given):
            raise self._wrong(
                "returned other records than it was given; leave records out with row_filter, "
                "and change no key"
            )
        new = [
            made.schema.field(name) for name in made.column_names if name not in given.schema.names
        ]
        fields = [*given.schema, *new]
        columns: list[Any] = [made.column(field.name) for field in fields]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields))

    def _keys(self, table: "pa.Table") -> list[str]:
        return sorted(map(repr, table.select(list(self.key)).to_pylist()))

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"transform {self.name!r} {what}")
