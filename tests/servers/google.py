"""Google's XML interface for writing, in front of an emulator that has it for reading only.

What is put and deleted here is handed on by the JSON interface, conditions included; all
else as it came. Uploads in several parts, of more than 5 MB, are refused.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote, unquote, urlencode, urlsplit
from uuid import uuid4

_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "date", "server"})


@contextmanager
def xml_front(emulator: int) -> Iterator[str]:
    """The front of the emulator on that port of this machine: its URL."""

    class Bound(_Front):
        port = emulator

    with ThreadingHTTPServer(("127.0.0.1", 0), Bound) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


class _Front(BaseHTTPRequestHandler):
    port: int
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """An upload with its condition, whose answer tells the new generation."""
        where = urlsplit(self.path)
        if where.query:
            self._answer(501, {}, b"uploads in parts are not handed on")
            return
        bucket, _, key = where.path.lstrip("/").partition("/")
        params = {"uploadType": "multipart", "name": unquote(key)}
        condition = self.headers.get("x-goog-if-generation-match")
        if condition is not None:
            params["ifGenerationMatch"] = condition
        kind, body = _in_parts(self._body())
        path = f"/upload/storage/v1/b/{bucket}/o?{urlencode(params)}"
        status, _, said = self._asked("POST", path, body, {"Content-Type": kind})
        if status != 200:
            self._answer(status, {}, said)
            return
        made = json.loads(said)
        told = {"ETag": f'"{made["etag"]}"', "x-goog-generation": made["generation"]}
        self._answer(200, told, b"")

    def do_DELETE(self) -> None:
        bucket, _, key = urlsplit(self.path).path.lstrip("/").partition("/")
        path = f"/storage/v1/b/{bucket}/o/{quote(unquote(key), safe='')}"
        status, _, said = self._asked("DELETE", path, b"", {})
        self._answer(204 if status == 200 else status, {}, said if status >= 300 else b"")

    def do_GET(self) -> None:
        headers = {name: text for name, text in self.headers.items() if name.lower() not in _HOP}
        self._answer(*self._asked(self.command, self.path, self._body(), headers))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _asked(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        size = str(len(body))
        for name, text in headers.items():
            if name.lower() == "content-length" and self.command == "HEAD":
                size = text
            elif name.lower() not in _HOP:
                self.send_header(name, text)
        if status != 204:
            self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def _in_parts(content: bytes) -> tuple[str, bytes]:
    """What JSON uploads are made of: words about the object, and the object."""
    mark = f"part{uuid4().hex}"
    head = f"--{mark}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{mark}\r\n"
    body = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content
    return f'multipart/related; boundary="{mark}"', body + f"\r\n--{mark}--\r\n".encode()
