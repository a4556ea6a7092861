"""A bar for each day, as a small PNG: what went well below, what failed on top. Pure.

Written by hand (PNG, ISO/IEC 15948): a picture inside a mail needs no library for it. Its
ground is transparent, so that it fits a mail that is read in the dark, and it has twice the
pixels that it is shown with.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1008, 224
MARGIN = 8
ROUND = 8
"""The pixels by which a bar's upper corners are cut."""

GROUND, LINE = b"\xff\xff\xff\x00", b"\x9a\xa5\xb1\xff"
GOOD, BAD = b"\x16\xa3\x4a\xff", b"\xdc\x26\x26\xff"
WIDE = 0.56
"""Of a bar's place it fills so much."""


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of a day went well, and how much did not."""

    good: int
    bad: int


def draw(bars: Sequence[Bar]) -> bytes:
    """The picture. A day on which nothing ended is an empty place; failures show always."""
    rows = [bytearray(GROUND * WIDTH) for _ in range(HEIGHT)]
    floor = HEIGHT - 2
    _fill(rows, 0, WIDTH, floor, HEIGHT, LINE)
    most = max((bar.good + bar.bad for bar in bars), default=0)
    step = WIDTH / max(len(bars), 1)
    width = max(1, int(step * WIDE))
    for at, bar in enumerate(bars):
        left = int(step * (at + 0.5) - width / 2)
        good, bad = _heights(bar, most, floor - MARGIN)
        top = floor - good - bad
        _fill(rows, left, left + width, floor - good, floor, GOOD)
        _fill(rows, left, left + width, top, floor - good, BAD)
        _round(rows, left, left + width, top, floor)
    return _png(rows)


def _heights(bar: Bar, most: int, room: int) -> tuple[int, int]:
    if not most:
        return 0, 0
    good = max(round(room * bar.good / most), 4 if bar.good else 0)
    bad = max(round(room * bar.bad / most), 4 if bar.bad else 0)
    return min(good, room - bad), bad


def _fill(
    rows: Sequence[bytearray], left: int, right: int, top: int, bottom: int, colour: bytes
) -> None:
    for row in rows[top:bottom]:
        row[4 * left : 4 * right] = colour * (right - left)


def _round(rows: Sequence[bytearray], left: int, right: int, top: int, floor: int) -> None:
    """Cut the upper corners of a bar."""
    depth = min(ROUND, floor - top)
    for down in range(depth):
        away = ROUND - round((ROUND**2 - (ROUND - down - 0.5) ** 2) ** 0.5)
        _fill(rows, left, left + away, top + down, top + down + 1, GROUND)
        _fill(rows, right - away, right, top + down, top + down + 1, GROUND)


def _png(rows: Sequence[bytearray]) -> bytes:
    header = struct.pack(">IIBBBBB", len(rows[0]) // 4, len(rows), 8, 6, 0, 0, 0)
    lines = b"".join(b"\x00" + bytes(row) for row in rows)
    data = zlib.compress(lines, 9)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
