"""An example of what comes after a sync: a report on the demo's flights, in pandas."""

from typing import Any

import dagster as dg

from sync_pipelines.defs.assets import asset_key


@dg.asset(
    ins={
        "flights": dg.AssetIn(
            key=asset_key("database"),
            input_manager_key="synced_tables",
            metadata={"stream": "public.flights"},
            partition_mapping=dg.SpecificPartitionsPartitionMapping(["demo/flights"]),
        )
    },
    io_manager_key="synced_tables",
    metadata={"sync": "demo/flights", "dataset": "reports"},
    group_name="demo",
    kinds={"pandas"},
)
def daily_delay_by_carrier(flights: Any) -> Any:
    """Mean departure delay in minutes by day and carrier, from the synced flights."""
    flown = flights.dropna(subset=["dep_delay"])
    grouped = flown.groupby([flown["time_hour"].dt.date.rename("day"), "carrier"])
    report = grouped["dep_delay"].agg(["mean", "size"]).reset_index()
    return report.rename(columns={"mean": "mean_delay_minutes", "size": "flights"})
