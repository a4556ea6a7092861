"""A bar for each day, as a small PNG: what went well below, what failed on top. Pure.

Written by hand (PNG, ISO/IEC 15948): a picture inside a mail needs no library for it.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 140
MARGIN = 8
WIDEST_BAR = 48

WHITE, LINE, GOOD, BAD = b"\xff\xff\xff", b"\xcb\xd2\xd9", b"\x15\x80\x3d", b"\xb9\x1c\x1c"


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of a day went well, and how much did not."""

    good: int
    bad: int


def draw(bars: Sequence[Bar]) -> bytes:
    """The picture. A day on which nothing ended is an empty place; failures show always."""
    rows = [bytearray(WHITE * WIDTH) for _ in range(HEIGHT)]
    floor = HEIGHT - MARGIN
    _fill(rows, 0, WIDTH, floor, floor + 1, LINE)
    most = max((bar.good + bar.bad for bar in bars), default=0)
    room = floor - MARGIN
    step = (WIDTH - 2 * MARGIN) / max(len(bars), 1)
    width = max(1, min(WIDEST_BAR, int(step * 0.7)))
    for at, bar in enumerate(bars):
        left = int(MARGIN + step * (at + 0.5) - width / 2)
        good, bad = _heights(bar, most, room)
        _fill(rows, left, left + width, floor - good, floor, GOOD)
        _fill(rows, left, left + width, floor - good - bad, floor - good, BAD)
    return _png(rows)


def _heights(bar: Bar, most: int, room: int) -> tuple[int, int]:
    if not most:
        return 0, 0
    good = max(round(room * bar.good / most), 2 if bar.good else 0)
    bad = max(round(room * bar.bad / most), 2 if bar.bad else 0)
    return min(good, room - bad), bad


def _fill(
    rows: Sequence[bytearray], left: int, right: int, top: int, bottom: int, colour: bytes
) -> None:
    for row in rows[top:bottom]:
        row[3 * left : 3 * right] = colour * (right - left)


def _png(rows: Sequence[bytearray]) -> bytes:
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    lines = b"".join(b"\x00" + bytes(row) for row in rows)
    data = zlib.compress(lines, 9)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
