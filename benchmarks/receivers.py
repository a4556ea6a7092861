"""Receivers of webhooks, all in one process: whatever is posted to ``/slow`` waits for its yes."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SLOW_SECONDS = 3.0
YES = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def receivers() -> Iterator[str]:
    """Where they are, until the block ends."""
    command = [sys.executable, "-m", "benchmarks.receivers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = head.lower().split("\r\n")
            (length,) = [line.split(":")[1] for line in lines if line.startswith("content-length:")]
            await reader.readexactly(int(length))
            if "/slow" in lines[0]:
                await asyncio.sleep(SLOW_SECONDS)
            writer.write(YES)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
