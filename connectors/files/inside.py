"""How one object is opened: its format, its packing, its beginning, and what has grown.

Law: of an append-only object only whole lines are read; the rest is still being written.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

from connectors.errors import ConfigError, TransientError
from connectors.files.config import Compression, FilesConfig, FormatName, StreamConfig
from connectors.files.formats import SAMPLE_BYTES, Format, Options, format_called
from connectors.files.state import Grown
from connectors.files.stores import Object, Store
from connectors.files.unpack import CHUNK_BYTES, unpacked

HEAD_BYTES = 64 * 1024
"""Of an append-only object, by which it is known again."""

WHOLE = frozenset({FormatName.PARQUET, FormatName.EXCEL})
"""Formats that have their table of contents somewhere inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """How the objects of one stream are opened."""

    config: FilesConfig
    stream: StreamConfig
    store: Store

    def format_name(self, name: str) -> FormatName:
        """`ConfigError` where nothing tells it."""
        found = self.stream.format_of(name)
        if found is None:
            known = ", ".join(FormatName)
            raise ConfigError(f"the name {name!r} tells no format; set format, one of: {known}")
        return found

    def format(self, name: str) -> Format:
        """The format of an object."""
        return format_called(self.format_name(name))

    def options(self, name: str, names: tuple[str, ...] = ()) -> Options:
        """What the format must know."""
        return Options(
            name=name,
            csv=self.stream.csv,
            sheet=self.stream.sheet,
            declared=self.stream.kinds,
            names=names,
        )

    def unpacked(self, file: BinaryIO, name: str) -> BinaryIO:
        """The object's records as they are written."""
        compression = self.stream.compression_of(name)
        if compression is not Compression.NONE and self.format_name(name) in WHOLE:
            raise ConfigError(f"{name!r} is packed by itself; do not pack it once more")
        return unpacked(file, compression, name=name, most=self.config.most_unpacked_bytes)

    def beginning(self, found: Object) -> BinaryIO:
        """Enough of an object to know its columns by; whole lines, where it has lines."""
        if self.format_name(found.name) in WHOLE:
            return self.store.open(found)
        cut = found.size > SAMPLE_BYTES
        with self.store.open(found, 0, min(found.size, SAMPLE_BYTES), exact=False) as file:
            begun, ended = bytearray(), False
            with self.unpacked(file, found.name) as lines:
                try:
                    while not ended and len(begun) < SAMPLE_BYTES:
                        chunk = lines.read(CHUNK_BYTES)
                        begun += chunk
                        ended = not chunk
                except TransientError:
                    if not cut:
                        raise
        if cut or not ended:
            del begun[begun.rfind(b"\n") + 1 or len(begun) :]
        return io.BytesIO(bytes(begun))

    def head(self, found: Object, size: int) -> bytes:
        """An object's first bytes."""
        with self.store.open(found, 0, size, exact=False) as file:
            return file.read(size)


def continued(inside: Inside, found: Object, grown: Grown | None) -> Grown | None:
    """From where an append-only object is read on; None from its beginning."""
    if grown is None or found.size < grown.offset:
        return None
    same = digest(inside.head(found, grown.head_bytes)) == grown.head
    return grown if same else None


def digest(head: bytes) -> str:
    """What a beginning is known by."""
    return blake2b(head, digest_size=8).hexdigest()


class WholeLines(io.RawIOBase):
    """A file up to its last whole line within ``size`` bytes; ``passed`` counts them."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self._chunks = self._lines()
        self._rest = memoryview(b"")
        self.passed = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """The next bytes; none at the end."""
        target = memoryview(buffer)  # type: ignore[arg-type]
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        self.passed += size
        return size

    def _lines(self) -> Iterator[bytes]:
        waiting = b""
        while self._left:
            chunk = self._file.read(min(CHUNK_BYTES, self._left))
            if not chunk:
                return
            self._left -= len(chunk)
            end = chunk.rfind(b"\n") + 1
            if end:
                yield waiting + chunk[:end]
                waiting = chunk[end:]
            else:
                waiting += chunk
