"""Supabase database webhooks: a trigger's request, with a secret in a header of its own.

Source: Supabase's "Database Webhooks". There is no signature and no event id, and nothing
is sent again; whoever makes the trigger puts a static header into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.webhooks.contract import MalformedError, Notice, Received
from connectors.webhooks.generic import Token
from connectors.webhooks.reading import bounded, inside, needed, read_object, repeated_id, word

OPERATIONS = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Supabase(Token):
    """Changed rows of a project's tables."""

    def read(self, request: Received) -> Sequence[Notice]:
        """One row; its stream is its table, with its schema and without."""
        change = read_object(request.body)
        operation = needed(change.get("type"), "type")
        if operation not in OPERATIONS:
            raise MalformedError("type is none of INSERT, UPDATE and DELETE")
        table = needed(change.get("table"), "table")
        schema = needed(change.get("schema"), "schema")
        record = change.get("old_record" if operation == "DELETE" else "record")
        return [
            Notice(
                event_id=repeated_id(request),
                event_type=bounded(f"{table}.{operation.lower()}"),
                entity_type=table,
                entity_id=word(inside(record, "id")),
                streams=(f"{schema}.{table}", table),
                data=change,
            )
        ]
