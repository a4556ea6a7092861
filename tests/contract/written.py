"""Written objects as another program reads them: by what docs/how-to/files.md says of them."""

import gzip
import io
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as parquet

_FIELD = re.compile(r'(?:"((?:[^"]|"")*)"|([^,\n"]*))([,\n])')


def records_in(name: str, content: bytes, schema: pa.Schema) -> list[Mapping[str, Any]]:
    """An object's records; times, decimals, documents and lists of a text may be texts."""
    if name.endswith(".parquet"):
        return list(parquet.read_table(io.BytesIO(content)).to_pylist())
    if name.endswith(".gz"):
        content = gzip.decompress(content)
    elif name.endswith(".zst"):
        content = pa.input_stream(io.BytesIO(content), compression="zstd").read()
    found = _csv(content.decode()) if ".csv" in name else _jsonl(content, schema)
    return [
        {key: _typed(value, schema.field(key).type) for key, value in one.items()} for one in found
    ]


def _csv(text: str) -> Iterator[Mapping[str, str | None]]:
    """By hand: Python's reader cannot tell an empty text from nothing."""
    lines: list[list[str | None]] = [[]]
    end = 0
    for found in _FIELD.finditer(text):
        assert found.start() == end
        end = found.end()
        quoted, bare, then = found.groups()
        lines[-1].append((bare or None) if quoted is None else quoted.replace('""', '"'))
        if then == "\n":
            lines.append([])
    assert end == len(text)
    header, *records = lines[:-1]
    for record in records:
        yield dict(zip([str(name) for name in header], record, strict=True))


def _jsonl(content: bytes, schema: pa.Schema) -> Iterator[Mapping[str, str | None]]:
    documents = {
        one.name
        for one in schema
        if (one.metadata or {}).get(b"logical") == b"json" or pa.types.is_list(one.type)
    }
    for line in content.split(b"\n")[:-1]:
        record: dict[str, str | None] = {}
        for name, raw in msgspec.json.decode(line, type=dict[str, msgspec.Raw]).items():
            spelled = bytes(raw).decode()
            if name in documents:
                record[name] = spelled
            else:
                record[name] = msgspec.json.decode(raw) if spelled[0] in 'n"' else spelled
        yield record


def _typed(value: str | None, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_integer(kind):
        return int(value)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_boolean(kind):
        return {"true": True, "false": False}[value]
    if pa.types.is_binary(kind):
        return bytes.fromhex(value.removeprefix("\\x"))
    return datetime.fromisoformat(value) if pa.types.is_timestamp(kind) else value
