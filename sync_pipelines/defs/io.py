"""By which a downstream asset reads a synced stream as a DataFrame, and keeps its own result.

An input names the stream in its metadata (``{"stream": "public.flights"}``); the
upstream partition says which sync. An output names the sync beside whose data it
belongs and the dataset it goes to (``{"sync": "demo/flights", "dataset": "reports"}``);
its table is the asset's name, replaced by every materialization.
"""

from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from connectors import registry
from connectors.contract import Batch, Destination, Encoding, Target, WriteMode
from connectors.decode import decoded
from connectors.errors import ConfigError
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from sync_pipelines.defs.resources import EngineResource
from sync_pipelines.engine.plan import chosen_streams
from sync_pipelines.engine.surroundings import open_destination
from sync_pipelines.model.execution import Request
from sync_pipelines.model.sync import Sync

if TYPE_CHECKING:
    import pandas as pd


class SyncedTables(dg.ConfigurableIOManager):
    """Tables at a sync's destination, as pandas DataFrames."""

    engine: dg.ResourceDependency[EngineResource]

    def load_input(self, context: dg.InputContext) -> "pd.DataFrame":
        """The synced stream that the input names."""
        sync = self._sync(context.asset_partition_key)
        metadata = context.definition_metadata
        (stream,) = chosen_streams(sync, Request(streams=(str(metadata["stream"]),)))
        destination = _open(self.engine.open().catalog, sync)
        try:
            table = destination.read_table(sync.dataset, stream.table_name)
        finally:
            destination.close()
        frame: pd.DataFrame = decoded(table).to_pandas()
        return frame

    def handle_output(self, context: dg.OutputContext, obj: "pd.DataFrame") -> None:
        """Replace the asset's table."""
        metadata = context.definition_metadata
        sync = self._sync(str(metadata["sync"]))
        data = pa.Table.from_pandas(obj, preserve_index=False)
        table = context.asset_key.path[-1]
        target = Target(
            owner=sync.key,
            stream=f"asset:{context.asset_key.to_user_string()}",
            execution=context.run_id,
            dataset=str(metadata["dataset"]),
            table=table,
            schema=data.schema,
            write_mode=WriteMode.REPLACE,
            complete=True,
            distinct=False,
        )
        destination = _open(self.engine.open().catalog, sync)
        try:
            writer = destination.open(target, Encoding.ARROW)
            try:
                writer.write(Batch(data=data))
                writer.commit(None, finished=True)
            finally:
                writer.close()
        finally:
            destination.close()
        context.add_output_metadata({"rows": len(obj), "table": f"{target.dataset}.{table}"})

    def _sync(self, key: str) -> Sync:
        catalog = self.engine.open().catalog
        with catalog.begin() as db:
            return find_sync(db, catalog.secrets, key)


def _open(catalog: Catalog, sync: Sync) -> Destination:
    connection = sync.destination
    connector = registry.get(connection.connector)
    if connector.destination is None:
        raise ConfigError(f"{sync.key}'s destination {connection.name!r} cannot be read back")
    return open_destination(catalog, connection)
