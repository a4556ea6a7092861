"""Ours, reading a REST API: what one child process does, without the server that it asks."""

from collections.abc import Mapping
from contextlib import closing
from importlib import import_module

from benchmarks import orders
from benchmarks.moving import NoMirror, planned
from benchmarks.task import Task
from connectors import registry
from sync_pipelines.engine.move import move_stream
from sync_pipelines.engine.progress import Progress

PAGE = 250
AT_ONCE = 16

COLUMNS: Mapping[str, str] = {
    "id": "integer",
    "customer_id": "integer",
    "quantity": "integer",
    "status": "text",
    "currency": "text",
    "total": "decimal",
    "note": "text",
    "meta": "json",
    "created_at": "timestamp",
    "updated_at": "timestamp",
}


def copied(task: Task) -> int:
    """Read all pages, and write them; how many records arrived."""
    configured = {
        "base_url": task.source,
        "allow_private_addresses": True,
        "concurrency": AT_ONCE,
        "streams": [
            {
                "name": orders.STREAM,
                "path": "/orders",
                "records": "data",
                "primary_key": [orders.KEY],
                "columns": COLUMNS,
                "pages": {"kind": "number", "size": PAGE, "total_path": "total"},
                "incremental": {"field": orders.CURSOR, "param": "since"},
            }
        ],
    }
    source = registry.get("rest_api").open_source(configured)
    destination = registry.get("database").open_destination({"url": task.destination})
    with closing(source), closing(destination):
        plan = planned(task, source.stream(orders.STREAM))
        return move_stream(source, destination, plan, Progress(), NoMirror()).counts.processed


def warm_up() -> None:
    """Import what the work will need, as a warm process has."""
    for module in ("rest.source", "sql.postgres.encode", "sql.postgres.ingest"):
        import_module(f"connectors.{module}")
