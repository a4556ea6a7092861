"""The connection to one file: what its tenant says of it. Loads nothing that a run does not."""

from collections.abc import Mapping
from pathlib import Path

from benchmarks import orders

TYPES: Mapping[str, str] = {
    "id": "integer",
    "customer_id": "integer",
    "quantity": "integer",
    "status": "text",
    "currency": "text",
    "total": "decimal(12,2)",
    "note": "text",
    "meta": "json",
    "created_at": "instant",
    "updated_at": "instant",
}
"""What a tenant declares; Parquet needs none of it."""


def source_config(path: str) -> Mapping[str, object]:
    """The connection that reads one file."""
    file = Path(path)
    stream = {"path": file.name, "columns": {} if file.suffix == ".parquet" else TYPES}
    return {
        "url": file.parent.as_uri(),
        "settle_seconds": 0,
        "streams": {orders.STREAM: {**stream, "primary_key": [orders.KEY]}},
    }
