"""What every table of the catalog shares: naming, types, defaults."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import BigInteger, MetaData, String, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase

SCHEMA = "sync"

Jsonb = dict[str, Any]
"""A JSONB object."""

NOW = text("now()")
NEW_ID = text("gen_random_uuid()")
EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")


class Base(DeclarativeBase):
    """Naming and type rules of every table."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        },
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: TIMESTAMP(timezone=True),
        str: String,
        int: BigInteger,
        Jsonb: JSONB,
        list[Any]: JSONB,
    }


def one_of(column: str, values: Iterable[str]) -> str:
    """A check that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(str(value)) for value in values)})"
