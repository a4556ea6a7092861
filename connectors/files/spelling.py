"""How values of every type are spelled where a file knows only texts, and read back. Pure.

Laws:

* A spelling is read back as the very value, by our own source as well, where the column is
  declared by its word (`connectors.files.kinds.kind_of`).
* NULL and the empty text differ; so do NULL and JSON's null.
* A document has no line break between its tokens in JSON lines; nothing else is changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow import Field, Logical, logical_of
from connectors.errors import ConfigError, TransientError
from connectors.files.fit import fitted
from connectors.files.kinds import Kind, Word, kind_of

Array: TypeAlias = Any  # pyarrow's stubs want each array's type spelled out

_JSON_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_LINE_BREAKS = "[\r\n]"
_CONTROLS = r"[\x00-\x1f]"
_USUAL_CONTROLS = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_STRING = msgspec.json.Decoder(str)
_LINES = msgspec.json.Decoder(msgspec.Raw)


def csv_lines(piece: pa.RecordBatch) -> Array:
    """One line a record: NULL is nothing between commas, and a text stands in quotes."""
    cells = [_cell(column, one) for column, one in _columns(piece)]
    return _joined(_between(cells, ","), "\n")


def csv_header(schema: pa.Schema) -> bytes:
    """The columns' names."""
    names = ('"' + name.replace('"', '""') + '"' for name in schema.names)
    return (",".join(names) + "\n").encode()


def json_lines(piece: pa.RecordBatch) -> Array:
    """One object a record. NULL is null; where a null may be a document, it is left out."""
    members = []
    for column, one in _columns(piece):
        values = _json(column, one)
        if kind_of(one).word is not Word.JSON:
            values = pc.fill_null(values, "null")
        member = _joined(f",{json.dumps(one.name, ensure_ascii=False)}:", values)
        members.append(pc.fill_null(member, ""))
    return _joined("{", pc.utf8_ltrim(_joined(*members), characters=","), "}\n")


def on_one_line(data: pa.Table, schema: pa.Schema) -> pa.Table:
    """Documents as JSON lines can have them, so that those are compared that are stored."""
    for number, one in enumerate(data.schema):
        described = schema.field(one.name) if one.name in schema.names else one
        if Logical.JSON in (logical_of(one), logical_of(described)):
            data = data.set_column(number, one, _unbroken(data.column(number)))
    return data


def restored(data: pa.Table, schema: pa.Schema) -> pa.Table:
    """What was read by its word, in the types that it had; ints and floats are left to a cast."""
    for number, one in enumerate(data.schema):
        wanted = schema.field(one.name)
        if pa.types.is_list(wanted.type):
            lists = _lists(data.column(number).to_pylist(), wanted.type)
            data = data.set_column(number, wanted, lists)
    return data


def own_kind(one: Field) -> Kind:
    """What a column of ours is read by, so that no digit of it is spelled anew."""
    return Kind(kind_of(one).word)


def _columns(piece: pa.RecordBatch) -> Sequence[tuple[Array, Field]]:
    return list(zip(piece.columns, piece.schema, strict=True))


def _cell(array: Array, one: Field) -> Array:
    texts = _plain(array)
    if kind_of(one).word in (Word.TEXT, Word.JSON):
        texts = _joined('"', pc.replace_substring(texts, '"', '""'), '"')
    return pc.fill_null(texts, "")


def _json(array: Array, one: Field) -> Array:
    """Numbers and documents as they are, all else in quotes; null where NULL."""
    texts = _plain(array)
    word = kind_of(one).word
    if logical_of(one) is Logical.JSON:
        return _documents(_unbroken(texts), one.name)
    if word in (Word.INTEGER, Word.JSON, Word.BOOLEAN):
        return texts
    if word in (Word.DECIMAL, Word.FLOAT):
        return pc.if_else(pc.match_substring_regex(texts, _JSON_NUMBER), texts, _quoted(texts))
    return _quoted(texts)


def _plain(array: Array) -> Array:
    """Every value as a text; null where NULL."""
    kind = array.type
    if pa.types.is_binary(kind):
        spelled = [None if one is None else "\\x" + one.hex() for one in array.to_pylist()]
        return pa.array(spelled, pa.string())
    if pa.types.is_list(kind):
        return _listed(array)
    if pa.types.is_floating(kind):
        return _floats(array)
    if isinstance(kind, pa.TimestampType):
        local = array.cast(pa.timestamp("us")).cast(pa.string())
        texts = pc.replace_substring(local, " ", "T")
        return texts if kind.tz is None else _joined(texts, "Z")
    return array.cast(pa.string())


def _floats(array: Array) -> Array:
    """The shortest digits that mean this very number; never those of an integer."""
    texts = array.cast(pa.float64()).cast(pa.string())
    whole = pc.match_substring_regex(texts, "^-?[0-9]+$")
    return pc.if_else(whole, _joined(texts, ".0"), texts)


def _listed(array: Array) -> Array:
    items = _json(array.values, pa.field("item", array.type.value_type))
    lists = pa.ListArray.from_arrays(array.offsets, pc.fill_null(items, "null"))
    texts = _joined("[", pc.binary_join(lists, ","), "]")
    return pc.if_else(array.is_valid(), texts, pa.scalar(None, pa.string()))


def _lists(texts: Sequence[str | None], kind: Any) -> Array:
    ends: list[int | None] = []
    items: list[str | None] = []
    for text in texts:
        ends.append(None if text is None else len(items))
        items += () if text is None else map(_item, _ITEMS.decode(text))
    item = pa.field("item", kind.value_type)
    done = fitted(pa.chunked_array([pa.array(items, pa.string())]), own_kind(item), declared=True)
    if done.misfits is not None and pc.any(done.misfits).as_py():
        raise TransientError(f"an object of ours has a list with an item that is no {item.type}")
    values = done.values.cast(item.type).combine_chunks()
    offsets = pa.array([*ends, len(items)], pa.int32())
    return pa.ListArray.from_arrays(offsets, values).cast(kind)


def _item(raw: msgspec.Raw) -> str | None:
    spelled = bytes(raw)
    if spelled[:1] == b'"':
        return _STRING.decode(spelled)
    return None if spelled == b"null" else spelled.decode()


def _quoted(texts: Array) -> Array:
    """As strings of JSON."""
    texts = pc.replace_substring(pc.replace_substring(texts, "\\", "\\\\"), '"', '\\"')
    if _any(texts, _CONTROLS):
        for sign, spelled in _USUAL_CONTROLS.items():
            texts = pc.replace_substring(texts, sign, spelled)
    if _any(texts, _CONTROLS):
        for code in range(32):
            texts = pc.replace_substring(texts, chr(code), f"\\u{code:04x}")
    return _joined('"', texts, '"')


def _unbroken(documents: Array) -> Array:
    """Within JSON's strings a line break is spelled out; elsewhere a space means the same."""
    if not _any(documents, _LINE_BREAKS):
        return documents
    return pc.replace_substring_regex(documents, _LINE_BREAKS, " ")


def _documents(texts: Array, name: str) -> Array:
    """`ConfigError` for what only some programs take for JSON, as they do NaN."""
    spelled = [text for text in texts.to_pylist() if text is not None]
    try:
        sound = len(_LINES.decode_lines("\n".join(spelled))) == len(spelled)
    except msgspec.MsgspecError:
        sound = False
    if not sound:
        raise ConfigError(
            f"a document in column {name!r} is no JSON, as NaN and Infinity are none: it cannot "
            "stand in JSON lines; leave the column out, or write parquet or csv"
        )
    return texts


def _any(texts: Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())


def _joined(*parts: Array | str) -> Array:
    """The parts of each row as one text; null where one of them is."""
    return _between(parts, "")


def _between(parts: Sequence[Array | str], separator: str) -> Array:
    every: tuple[Any, ...] = (*parts, separator)
    return pc.binary_join_element_wise(*every)
