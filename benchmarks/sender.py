"""Sends requests that were made before, over connections that are kept, as cheaply as may be.

One loop over sockets that never block, because the sender takes its processor from the
gateway that it measures. A request is sent once: one that is refused is counted.
"""

import selectors
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, sleep

CONNECTIONS = 64
PATIENCE_SECONDS = 30.0
LONGEST_HEAD = 4096

_SUCCESS = b"HTTP/1.1 200 "
_END = b"\r\n\r\n"


@dataclass(slots=True)
class Sent:
    """How it went: the seconds until each answer of 200, how many others there were, and how
    long all took.
    """

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Line:
    """A connection; ``since`` is from when its request's time counts."""

    socket: socket.socket
    since: float = 0.0
    read: bytes = b""


def flood(ports: Sequence[int], requests: Sequence[bytes], *, per_second: int | None) -> Sent:
    """Send all requests to gateways in turn; None: each as soon as a connection is free.

    At a pace, a request's time counts from when it was to be sent, so that one that had to
    wait for a connection is not the shorter for it. Answers must have no body.
    """
    sent = Sent()
    with selectors.DefaultSelector() as selector:
        idle = deque(_connected(selector, ports))
        opened = list(idle)
        try:
            _send_all(selector, idle, requests, sent, per_second)
        finally:
            for line in opened:
                line.socket.close()
    return sent


def _connected(selector: selectors.BaseSelector, ports: Sequence[int]) -> list[_Line]:
    lines = []
    for number in range(CONNECTIONS):
        line = _Line(socket.create_connection(("127.0.0.1", ports[number % len(ports)])))
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.socket.setblocking(False)
        selector.register(line.socket, selectors.EVENT_READ, line)
        lines.append(line)
    return lines


def _send_all(
    selector: selectors.BaseSelector,
    idle: deque[_Line],
    requests: Sequence[bytes],
    sent: Sent,
    per_second: int | None,
) -> None:
    began = heard = perf_counter()
    following, waiting = 0, 0
    while following < len(requests) or waiting:
        now = perf_counter()
        while idle and following < len(requests):
            due = now if per_second is None else began + following / per_second
            if due > now:
                break
            line = idle.popleft()
            line.since, line.read = due, b""
            line.socket.sendall(requests[following])  # far less than a socket's buffer holds
            following, waiting = following + 1, waiting + 1
        rest = PATIENCE_SECONDS
        if per_second is not None and idle and following < len(requests):
            rest = began + following / per_second - perf_counter()
        if not waiting:
            sleep(max(rest, 0.0))
            heard = perf_counter()
            continue
        for key, _ in selector.select(max(rest, 0.0)):
            if _is_answered(key.data, sent):
                idle.append(key.data)
                waiting, heard = waiting - 1, perf_counter()
        if perf_counter() - heard > PATIENCE_SECONDS:
            raise RuntimeError(f"{waiting} requests were not answered in {PATIENCE_SECONDS:.0f} s")
    sent.seconds = perf_counter() - began


def _is_answered(line: _Line, sent: Sent) -> bool:
    line.read += line.socket.recv(LONGEST_HEAD)
    if not line.read:
        raise RuntimeError("the gateway has closed a connection")
    if not line.read.endswith(_END):
        return False
    if line.read.startswith(_SUCCESS):
        sent.latencies.append(perf_counter() - line.since)
    else:
        sent.refused += 1
    return True
