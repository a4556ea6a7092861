"""Every connector as a Dagster asset whose partitions are the syncs that use it."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import dagster as dg
import structlog
from pydantic import Field

from connectors import registry
from connectors.contract import Counts
from sync_pipelines import tracing
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.defs.tags import Claim
from sync_pipelines.engine.dispatch import trigger
from sync_pipelines.engine.outcome import StreamResult
from sync_pipelines.engine.run import Engine, NotStartedError, Report
from sync_pipelines.engine.run_tags import TRACEPARENT, partitions_name
from sync_pipelines.engine.settle import cancel
from sync_pipelines.model.execution import Request, Status

Metadata: TypeAlias = "dg.MetadataValue[Any]"


class SyncConfig(dg.Config):
    """What a run may ask for beyond the sync's own settings."""

    streams: list[str] = Field(default_factory=list)
    full: bool = False
    window_start: str | None = None
    window_end: str | None = None
    allow_empty: bool = False
    redrive: bool = False
    confirm_deletes: bool = False

    def request(self) -> Request:
        """The same in the engine's words."""
        return Request(
            streams=tuple(self.streams),
            full=self.full,
            window_start=self.window_start,
            window_end=self.window_end,
            allow_empty=self.allow_empty,
            redrive=self.redrive,
            confirm_deletes=self.confirm_deletes,
        )


def asset_key(connector: str) -> dg.AssetKey:
    """``database/tables``: all streams of a connector, which are each tenant's own."""
    return dg.AssetKey([connector, registry.get(connector).collection])


def sync_assets(connector: str) -> dg.AssetsDefinition:
    """The asset of one connector. A partition is a sync; a materialization is an execution."""

    @dg.multi_asset(
        name=f"{connector}_streams",
        specs=[
            dg.AssetSpec(
                asset_key(connector),
                description=(
                    f"What the {connector} syncs have brought to their destinations. "
                    "A partition is one sync (tenant/sync), a materialization one execution."
                ),
                group_name="syncs",
                kinds={connector},
                skippable=True,
            )
        ],
        can_subset=True,
        partitions_def=dg.DynamicPartitionsDefinition(name=partitions_name(connector)),
    )
    def sync(
        context: dg.AssetExecutionContext, config: SyncConfig, engine: EngineResource
    ) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg]
        report = _run(context, config, engine.open())
        if report is None:
            return
        if report.outcome.status in (Status.COMPLETED, Status.PARTIAL):
            yield dg.MaterializeResult(asset_key=asset_key(connector), metadata=_metadata(report))
        if report.outcome.failure is not None:
            raise dg.Failure(_verdict(report), metadata=_metadata(report), allow_retries=False)

    return sync


def _run(
    context: dg.AssetExecutionContext, config: SyncConfig, engine: Engine
) -> Report | None:  # fmt: skip
    """Run the attempt this run was started for, or one of its own if a person started it."""
    claim = Claim.of(context.run.tags)
    mine = claim or _own_claim(context.partition_key, config, engine)
    try:
        report = _carried_out(context, mine, engine)
    except NotStartedError as error:
        if claim is None:
            cancel(engine.catalog, mine.execution_id, now=engine.clock(), reason=str(error))
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(str(error))
        return None
    for result in report.results:
        context.log.info(_sentence(result))
    return report


def _carried_out(context: dg.AssetExecutionContext, mine: Claim, engine: Engine) -> Report:
    """Run the attempt; whatever is logged or timed meanwhile says of which execution."""
    tenant, _, sync = context.partition_key.partition("/")
    whose = {"execution": str(mine.execution_id), "tenant": tenant}
    parent = context.run.tags.get(TRACEPARENT)
    try:
        with (
            structlog.contextvars.bound_contextvars(**whose),
            tracing.span("execution", parent=parent, sync=sync, **whose) as span,
        ):
            span.note(attempt=mine.attempt)
            report = engine.run(mine.execution_id, attempt=mine.attempt, run_id=context.run.run_id)
            span.note(status=str(report.execution.status))
            return report
    finally:
        tracing.flush()  # the process may end without another word


def _own_claim(sync_key: str, config: SyncConfig, engine: Engine) -> Claim:
    with engine.catalog.begin() as db:
        sync = find_sync(db, engine.catalog.secrets, sync_key)
    execution_id = trigger(
        engine.catalog, sync, now=engine.clock(), request=config.request(), queued=True
    )
    return Claim(execution_id, 1)


def _sentence(result: StreamResult) -> str:
    if result.failure is not None:
        return f"{result.stream}: {result.failure.error_class}: {result.failure.message}"
    counts = result.counts
    return (
        f"{result.stream}: {counts.processed} read, {counts.created} created, "
        f"{counts.updated} updated, {counts.deleted} deleted, {counts.rejected} rejected "
        f"in {result.seconds:.2f} s by {result.encoding}; now at {result.watermark or 'its end'}"
    )


def _verdict(report: Report) -> str:
    outcome = report.outcome
    assert outcome.failure is not None
    if outcome.retry_at is not None:
        return f"{outcome.failure.message} (will be retried at {outcome.retry_at:%H:%M:%S} UTC)"
    return f"{outcome.status}: {outcome.failure.message}"


def _metadata(report: Report) -> dict[str, Metadata]:
    """Numbers, so that the Dagster UI plots them; one row a stream as a table."""
    counts = sum((result.counts for result in report.results), Counts())
    seconds = sum(result.seconds for result in report.results)
    committed = [result.committed_at for result in report.results if result.committed_at]
    values: dict[str, Metadata] = {
        "rows_read": dg.MetadataValue.int(counts.processed),
        "rows_created": dg.MetadataValue.int(counts.created),
        "rows_updated": dg.MetadataValue.int(counts.updated),
        "rows_deleted": dg.MetadataValue.int(counts.deleted),
        "rows_rejected": dg.MetadataValue.int(counts.rejected),
        "bytes": dg.MetadataValue.int(counts.bytes),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "rows_per_second": dg.MetadataValue.float(_rate(counts.processed, seconds)),
        "execution": dg.MetadataValue.text(str(report.execution.id)),
        "streams": dg.MetadataValue.table([_record(result) for result in report.results]),
    }
    if committed:
        values["fresh_as_of"] = dg.MetadataValue.timestamp(min(committed))
    return values


def _rate(rows: int, seconds: float) -> float:
    return round(rows / seconds, 1) if seconds else 0.0


def _record(result: StreamResult) -> dg.TableRecord:
    counts = result.counts
    return dg.TableRecord(
        {
            "stream": result.stream,
            "result": str(result.failure.error_class) if result.failure else "completed",
            "read": counts.processed,
            "created": counts.created,
            "updated": counts.updated,
            "deleted": counts.deleted,
            "rejected": counts.rejected,
            "bytes": counts.bytes,
            "seconds": round(result.seconds, 3),
            "encoding": str(result.encoding),
            "watermark from": result.state_from or "",
            "watermark to": result.watermark or "",
        }
    )
