"""What launcher and host say to each other: one line of JSON each way, on a Unix socket."""

import json
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LONGEST = 65536
"""Bytes of one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Carry out a run; ``resume`` goes on with one whose process was lost."""

    run_id: str
    resume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether the run has a process, or why not."""

    pid: int | None = None
    error: str | None = None


def ask(path: Path, start: Start, *, seconds: float) -> Answer:
    """Send a request and wait for its answer; `OSError` when the host does not give one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(seconds)
        line.connect(str(path))
        line.sendall(_text(asdict(start)))
        return Answer(**_read(line))


def receive(line: socket.socket) -> Start | None:
    """The request on a connection; None where none came."""
    try:
        return Start(**_read(line))
    except (OSError, ValueError, TypeError):
        return None


def answer(line: socket.socket, said: Answer) -> None:
    """Reply; a caller who has gone looks into the ledger."""
    try:
        line.sendall(_text(asdict(said)))
    except OSError:
        return


def _text(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _read(line: socket.socket) -> dict[str, Any]:
    received = b""
    while not received.endswith(b"\n"):
        part = line.recv(LONGEST)
        if not part or len(received) > LONGEST:
            raise ConnectionResetError("the other side went away in the middle of a line")
        received += part
    found: dict[str, Any] = json.loads(received)
    return found
