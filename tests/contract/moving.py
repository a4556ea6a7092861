"""The contract's order of calls, for tests that need no engine around them."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

from connectors.contract import (
    Committed,
    Destination,
    Encoding,
    Selection,
    Source,
    SyncMode,
    Target,
    WriteMode,
)
from connectors.described import arrow_schema


def moved(
    source: Source,
    destination: Destination,
    selection: Selection,
    target: Target,
    encoding: Encoding = Encoding.ARROW,
    *,
    before: Callable[[int], object] = lambda number: None,
) -> Committed:
    """Bring the target up to date, with a commit at every state.

    ``before`` is called with the number of each batch before it is written: something happens
    meanwhile, or what it raises ends the attempt there.
    """
    assert encoding in source.encodings(selection)
    assert encoding in destination.encodings(target)
    with closing(destination.open(target, encoding)) as writer:
        pending = None
        batches = source.read(selection, writer.committed.state, encoding)
        for number, batch in enumerate(batches):
            before(number)
            if pending is not None:
                writer.commit(pending)
            writer.write(batch)
            pending = batch.state
        return writer.commit(pending, finished=True)


def planned(
    source: Source,
    stream: str,
    *,
    mode: SyncMode,
    write_mode: WriteMode,
    execution: str,
    dataset: str,
    columns: tuple[str, ...] = (),
    **changes: Any,
) -> tuple[Selection, Target]:
    """A selection and its target, as the engine plans them; a key only if it is selected."""
    offered = source.stream(stream)
    schema = arrow_schema(offered.schema)
    for name in schema.names:
        if columns and name not in columns:
            schema = schema.remove(schema.get_field_index(name))
    key = offered.primary_key if set(offered.primary_key) <= set(schema.names) else ()
    chosen = replace(offered, schema=schema, primary_key=key, cursor_field="changed_at")
    target = Target(
        owner="acme/pair",
        stream=stream,
        execution=execution,
        dataset=dataset,
        table="orders",
        schema=schema,
        write_mode=write_mode,
        primary_key=key,
        cursor_field="changed_at",
        complete=mode is SyncMode.FULL,
        distinct=mode is SyncMode.INCREMENTAL,
    )
    return Selection(stream=chosen, mode=mode, **changes), target
