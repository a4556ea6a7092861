"""A provider that sends many webhooks at a steady pace, and again what was not answered."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.gateway.hooks import order, signed

CONNECTIONS = 64
PATIENCE_SECONDS = 5.0


@dataclass
class Sent:
    """How it went: seconds until each answer of its last attempt, and how often in all."""

    latencies: list[float] = field(default_factory=list)
    attempts: int = 0
    seconds: float = 0.0


async def send(port: int, paths: Sequence[str], *, number: int, per_second: int) -> Sent:
    """Send so many orders, each to one path in turn, until every one is answered 200."""
    sent = Sent()
    requests = [_request(paths[one % len(paths)], one) for one in range(number)]
    waiting: asyncio.Queue[int | None] = asyncio.Queue()
    began = time.monotonic()
    senders = [
        asyncio.create_task(_sender(port, requests, waiting, sent)) for _ in range(CONNECTIONS)
    ]
    for one in range(number):
        ahead = began + one / per_second - time.monotonic()
        if ahead > 0:
            await asyncio.sleep(ahead)
        waiting.put_nowait(one)
    while len(sent.latencies) < number:
        await asyncio.sleep(0.05)
    sent.seconds = time.monotonic() - began
    for _ in senders:
        waiting.put_nowait(None)
    await asyncio.gather(*senders)
    return sent


async def _sender(
    port: int, requests: Sequence[bytes], waiting: "asyncio.Queue[int | None]", sent: Sent
) -> None:
    streams = None
    while (number := await waiting.get()) is not None:
        began = time.monotonic()
        while True:
            sent.attempts += 1
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", port)
                status = await asyncio.wait_for(_post(*streams, requests[number]), PATIENCE_SECONDS)
                if status == 200:
                    break
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                if streams is not None:
                    streams[1].close()
                streams = None
            await asyncio.sleep(0.2)
        sent.latencies.append(time.monotonic() - began)
    if streams is not None:
        streams[1].close()
        with suppress(OSError):
            await streams[1].wait_closed()


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> int:  # fmt: skip
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
    await reader.readexactly(length)
    return int(head.split()[1])


def _request(path: str, number: int) -> bytes:
    """Made before it is sent: the sender takes its processor from the gateway."""
    body = order(number)
    headers = {
        "Host": "127.0.0.1",
        "Content-Length": str(len(body)),
        **signed(body, delivery=f"d-{number}"),
    }
    lines = [f"POST {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
