"""Packed bytes unpacked as a stream, in bounded memory.

Laws: an object that ends too early was caught half-written, and is a `TransientError`;
one that unpacks to more than is allowed is refused before it does. A thread unpacks ahead;
when what was unpacked is closed, it has ended, and the packed file may be closed.
"""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
from isal import isal_zlib

from connectors.ahead import ahead
from connectors.errors import ConfigError, TransientError
from connectors.files.config import Compression

CHUNK_BYTES = 256 * 1024
AHEAD = 3
"""Chunks that are unpacked while the one before them is used."""

_GZIP = 16 + isal_zlib.MAX_WBITS
_DAMAGED: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stubs err


def unpacked(file: BinaryIO, compression: Compression, *, name: str, most: int) -> BinaryIO:
    """The bytes of ``file`` as they were before they were packed; at most ``most`` of them."""
    if compression is Compression.NONE:
        return file
    packed = _gunzipped if compression is Compression.GZIP else _unzstd
    return io.BufferedReader(_Chunks(_capped(packed(file, name), name, most)), CHUNK_BYTES)


def _gunzipped(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The members of a gzip file, one after the other."""
    member, due = isal_zlib.decompressobj(_GZIP), True
    packed = file.read(CHUNK_BYTES)
    try:
        while packed:
            if not due:  # zeros may follow a member, on tapes and from some writers
                packed, due = packed.lstrip(b"\0"), True
                if not packed:
                    packed, due = file.read(CHUNK_BYTES), False
                    continue
            yield member.decompress(packed, CHUNK_BYTES * 4)
            if member.eof:
                packed, due = member.unused_data, False
                member = isal_zlib.decompressobj(_GZIP)
            else:
                packed = member.unconsumed_tail
            packed = packed or file.read(CHUNK_BYTES)
    except _DAMAGED as error:
        raise TransientError(f"{name!r} is no sound gzip file: {error}") from error
    if due:
        raise TransientError(f"{name!r} ends in the middle: it is half-written, or was cut off")


def _unzstd(file: BinaryIO, name: str) -> Iterator[bytes]:
    if not file.seekable() or file.seek(0, io.SEEK_END):
        file.seek(0)
    else:
        return
    try:
        with pa.CompressedInputStream(_arrow_file(file), "zstd") as packed:
            while chunk := packed.read(CHUNK_BYTES * 4):
                yield chunk
    except OSError as error:
        raise TransientError(f"{name!r} is half-written, or no sound zstd file: {error}") from error


def _arrow_file(file: BinaryIO) -> pa.NativeFile:
    anything: Any = file
    return pa.PythonFile(anything, "r")


def _capped(chunks: Iterator[bytes], name: str, most: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise ConfigError(
                f"{name!r} unpacks to more than {most // 1024**2} MB; if that is right, raise "
                "most_unpacked_mb of the connection"
            )
        yield chunk


class _Chunks(io.RawIOBase):
    """Chunks as a file, some of them made ahead in a thread."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = ahead(chunks, AHEAD, name="unpack")
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """The next bytes; none at the end."""
        target = memoryview(buffer)  # type: ignore[arg-type]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        """Unpack no more; returns when nobody reads the packed file."""
        self._chunks.close()
        super().close()
