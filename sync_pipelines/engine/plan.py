"""What one execution will do to one stream: pure, from configuration and what the source offers.

Everything that can be wrong between the two is refused here, before a record moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from connectors.contract import (
    Batch,
    Deletes,
    Selection,
    Stream,
    SyncMode,
    Target,
    Window,
    WriteMode,
)
from connectors.described import schema_of
from connectors.errors import ConfigError
from sync_pipelines.engine.mapping import Mapper
from sync_pipelines.engine.transform import Transform
from sync_pipelines.model.execution import Execution, Request
from sync_pipelines.model.sync import Sync, SyncStream


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """A selection to read and a target to write it to; what is read is mapped, then transformed."""

    selection: Selection
    target: Target
    mapper: Mapper | None = None
    transform: Transform | None = None

    @property
    def decodes(self) -> bool:
        """Whether somebody looks into the records on their way."""
        return self.mapper is not None or self.transform is not None

    def changed(self, batch: Batch) -> Batch:
        """The batch as it is to be written."""
        if self.mapper is not None:
            batch = self.mapper.apply(batch)
        return batch if self.transform is None else self.transform.apply(batch)


def chosen_streams(sync: Sync, request: Request) -> tuple[SyncStream, ...]:
    """The streams a request asks for; `ConfigError` for one that the sync does not have."""
    known = {stream.name: stream for stream in sync.streams}
    for name in request.streams:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(known)}"
            raise ConfigError(f"sync {sync.key} has no stream {name!r}; {hint}")
    return tuple(known[name] for name in request.streams) or sync.streams


def plan_stream(
    configured: SyncStream,
    offered: Stream,
    sync: Sync,
    execution: Execution,
    *,
    transform_modules: Sequence[str] = (),
) -> StreamPlan:
    """Join what the tenant wants with what the source has; `ConfigError` where they disagree.

    ``transform_modules`` are those that a transform may be taken from.
    """
    stream = _as_configured(configured, offered)
    request = execution.request
    window = None
    if request.window_start or request.window_end:
        window = Window(start=request.window_start, end=request.window_end)
        if stream.cursor_field is None:
            raise ConfigError(
                f"stream {stream.name!r} has no cursor_field, so a window cannot bound it; "
                "name one in the sync, or re-sync the whole stream"
            )
    incremental = configured.sync_mode is SyncMode.INCREMENTAL
    # A whole stream that is read in windows or from the beginning still keeps one of each.
    mode = SyncMode.INCREMENTAL if incremental or window else SyncMode.FULL
    if window and configured.write_mode is WriteMode.REPLACE:
        raise ConfigError(
            f"stream {stream.name!r} is replaced as a whole, so a window of it cannot be "
            "re-synced; use write_mode upsert, or re-sync it without a window"
        )
    mapper = None if configured.mapping is None else Mapper.of(configured.mapping, stream)
    key = mapper.primary_key if mapper else stream.primary_key
    transform = None
    if configured.transform is not None:
        transform = Transform.load(configured.transform, allowed=transform_modules, key=key)
    return StreamPlan(
        mapper=mapper,
        transform=transform,
        selection=Selection(
            stream=stream,
            mode=mode,
            row_filter=configured.row_filter,
            lag=configured.lag,
            window=window,
        ),
        target=Target(
            # Some destinations keep the state of all datasets in one place.
            owner=sync.key if request.into is None else f"{sync.key} into {request.into}",
            stream=stream.name,
            execution=str(execution.id),
            dataset=sync.dataset,
            table=configured.table_name,
            schema=mapper.schema if mapper else stream.schema,
            write_mode=configured.write_mode,
            primary_key=key,
            cursor_field=mapper.cursor_field if mapper else stream.cursor_field,
            complete=mode is SyncMode.FULL,
            distinct=mode is SyncMode.INCREMENTAL,
            deletes=configured.deletes,
            allow_empty=configured.allow_empty or request.allow_empty,
            restart=request.full,
            schema_policy=configured.schema_policy,
            on_conflict=configured.on_conflict,
            most_deleted_percent=configured.most_deleted_percent,
            confirm_deletes=request.confirm_deletes,
        ),
    )


def _as_configured(configured: SyncStream, offered: Stream) -> Stream:
    """The offered stream with the tenant's key, cursor and columns."""
    key = offered.primary_key if configured.primary_key is None else configured.primary_key
    cursor = configured.cursor_field or offered.cursor_field
    named = (*configured.columns, *key, *((cursor,) if cursor else ()))
    for column in named:
        if column not in offered.schema.names:
            near = get_close_matches(column, offered.schema.names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see `connections discover`"
            raise ConfigError(f"stream {offered.name!r} has no column {column!r}; {hint}")
    if configured.sync_mode is SyncMode.INCREMENTAL and cursor is None:
        raise ConfigError(
            f"stream {offered.name!r} is incremental but has no cursor_field; name the column "
            "that grows with every change, or use sync_mode full"
        )
    if configured.sync_mode not in offered.modes and not cursor:
        raise ConfigError(f"stream {offered.name!r} cannot be read in mode {configured.sync_mode}")
    if configured.write_mode is WriteMode.UPSERT and not key:
        raise ConfigError(
            f"stream {offered.name!r} has no primary key, so nothing tells which record to "
            "update; set primary_key, or use write_mode append or replace"
        )
    whole = configured.sync_mode is SyncMode.FULL
    if configured.deletes is not Deletes.KEEP and not whole:
        _refuse_untold_deletes(configured, offered, key)
    wanted = set(named) if configured.columns else set(offered.schema.names)
    columns = schema_of(field for field in offered.schema if field.name in wanted)
    return replace(offered, schema=columns, primary_key=key, cursor_field=cursor)


def _refuse_untold_deletes(configured: SyncStream, offered: Stream, key: Sequence[str]) -> None:
    """`ConfigError` unless the stream tells deletes, by the key that the records have."""
    if not offered.tells_deletes:
        raise ConfigError(
            f"stream {offered.name!r} does not tell what is deleted, so deletes: "
            f"{configured.deletes} needs sync_mode full: only a full read shows what is missing"
        )
    if tuple(key) != offered.primary_key:
        own, other = ", ".join(offered.primary_key), ", ".join(key)
        raise ConfigError(
            f"stream {offered.name!r} tells what is deleted by its own key ({own}), and "
            f"primary_key is ({other}); leave primary_key out, or set deletes: keep"
        )
