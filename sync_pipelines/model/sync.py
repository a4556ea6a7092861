"""A sync: which streams move from which connection to which, and how."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from connectors.contract import Deletes, SyncMode, WriteMode
from connectors.schema_policy import OnConflict, SchemaPolicy
from sync_pipelines.model.breaker import BreakerPolicy
from sync_pipelines.model.mapping import FieldMapping
from sync_pipelines.model.retry import RetryPolicy

_FUNCTION = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_LAST_PART = re.compile(r'(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[^".]+))$')
"""What stands after the last dot of a name; a part with a dot inside is in double quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStream:
    """One stream of a sync, as its tenant configured it.

    ``primary_key`` None takes the source's own; ``columns`` empty means all of them;
    ``table`` None names the destination table after the stream; ``mapping`` None moves
    every field as it is; ``transform`` is a function, ``module:name``, that the records pass
    through after that. ``schema_policy`` and ``on_conflict`` say what becomes of columns
    that the destination table does not have, or has otherwise. More than
    ``most_deleted_percent`` of the records are deleted only when somebody confirms it.
    """

    name: str
    sync_mode: SyncMode = SyncMode.FULL
    write_mode: WriteMode = WriteMode.REPLACE
    cursor_field: str | None = None
    primary_key: tuple[str, ...] | None = None
    columns: tuple[str, ...] = ()
    row_filter: str | None = None
    lag: timedelta = timedelta(0)
    table: str | None = None
    deletes: Deletes = Deletes.KEEP
    allow_empty: bool = False
    most_deleted_percent: int = 20
    mapping: FieldMapping | None = None
    transform: str | None = None
    schema_policy: SchemaPolicy = SchemaPolicy.EVOLVE
    on_conflict: OnConflict = OnConflict.FAIL

    def __post_init__(self) -> None:
        if self.mapping is not None:
            for column in self.primary_key or ():
                self.mapping.require(column, what="part of the primary key")
            if self.cursor_field is not None:
                self.mapping.require(self.cursor_field, what="the cursor")
        if self.sync_mode is SyncMode.INCREMENTAL and self.write_mode is WriteMode.REPLACE:
            raise ValueError(
                f"stream {self.name!r}: an incremental read cannot replace the whole table; "
                "use write_mode upsert or append"
            )
        if self.transform is not None and not _FUNCTION.fullmatch(self.transform):
            raise ValueError(
                f"stream {self.name!r}: transform {self.transform!r} is wrong; name a function of "
                "a module, such as shop_rules:clean"
            )
        if self.deletes is not Deletes.KEEP and self.write_mode is not WriteMode.UPSERT:
            raise ValueError(
                f"stream {self.name!r}: deletes: {self.deletes} needs write_mode upsert, because "
                "only there one record is told from others"
            )

    @property
    def table_name(self) -> str:
        """The destination table: ``table``, else the stream's name without its schema."""
        if self.table:
            return self.table
        last = _LAST_PART.search(self.name)
        return (last["quoted"] or last["plain"]).replace('""', '"') if last else self.name

    def clashes_with(self, other: "SyncStream") -> bool:
        """Whether both write one table in a way that the one would undo what the other did.

        Two that upsert go together, as records and a list of their ids do: what one deletes
        is gone at the source, whoever brought it. A second that deletes would take its own
        list for the whole of the table.
        """
        if self.table_name.casefold() != other.table_name.casefold():
            return False
        upserts = self.write_mode is other.write_mode is WriteMode.UPSERT
        # Some databases do not tell capital letters apart in a name, and others do.
        alike = self.table_name == other.table_name
        return not (upserts and alike and Deletes.KEEP in (self.deletes, other.deletes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One tenant's configured, credentialed use of a connector. Its repr shows no secret.

    ``reaches_private``: it may lead to addresses inside this network.
    """

    id: UUID
    tenant: str
    name: str
    connector: str
    config: Mapping[str, object] = field(repr=False)
    reaches_private: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """What moves where. ``key`` ("tenant/sync") is its name everywhere, Dagster's partition too.

    ``tags`` are words by which a tenant sorts its syncs.
    """

    id: UUID
    tenant_id: UUID
    tenant: str
    name: str
    source: Connection
    destination: Connection
    dataset: str
    streams: tuple[SyncStream, ...]
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    is_active: bool = True
    pause_reason: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """``tenant/sync``."""
        return f"{self.tenant}/{self.name}"

    @property
    def connector(self) -> str:
        """The source's connector, by which Dagster groups syncs."""
        return self.source.connector
