"""Which columns of a stream may tell what has changed."""

from connectors.contract import Stream
from connectors.late import pa

NO_CURSOR = "no column is a cursor by its name: full reads only, unless you name one"
"""What to know of a stream for which its source chose none; there may be candidates."""


def cursor_candidates(stream: Stream) -> tuple[str, ...]:
    """Columns that may grow with every change: the source's own choice, then times, then the key.

    A single whole-number key grows with new records, though not with changed ones.
    """
    found = [stream.cursor_field] if stream.cursor_field else []
    found += [field.name for field in stream.schema if pa.types.is_timestamp(field.type)]
    found += [
        name
        for name in stream.primary_key
        if len(stream.primary_key) == 1 and pa.types.is_integer(stream.schema.field(name).type)
    ]
    return tuple(dict.fromkeys(found))
