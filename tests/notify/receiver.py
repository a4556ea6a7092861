"""A receiver of webhooks that is slow, gone, busy, sends one elsewhere, or has no good name."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SLOW_SECONDS = 20.0
STATUSES = {"gone": 410, "busy": 429, "elsewhere": 302, "broken": 500}
PIECE = b"x" * 65536


@dataclass
class Receiver:
    """What it has had, and when; each path behaves as it is called."""

    url: str
    had: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    at_seconds: list[float] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    """Of which connection each came."""
    up: bool = True
    refused: set[str] = field(default_factory=set)
    """Ids that it does not take."""
    written: int = 0
    """Bytes of endless answers that went out."""
    let_go: Event = field(default_factory=Event)
    """What is slow answers as soon as this is set."""
    _came: Condition = field(default_factory=Condition)

    def at(self, path: str) -> str:
        return f"{self.url}/{path}"

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.had]

    def paths(self) -> list[str]:
        return [path for path, _, _ in self.had]

    def note(self, path: str, headers: dict[str, str], body: bytes) -> None:
        with self._came:
            self.had.append((path, headers, body))
            self.at_seconds.append(time.time())
            self._came.notify_all()

    def wait_for(self, is_so: Callable[[], bool], *, seconds: float) -> bool:
        """Whether it is so before so many seconds are over; looked at whenever something comes."""
        with self._came:
            return self._came.wait_for(is_so, timeout=seconds)

    def forget(self) -> None:
        self.had.clear()
        self.at_seconds.clear()
        self.ports.clear()
        self.refused.clear()
        self.let_go.clear()
        self.up, self.written = True, 0


@contextmanager
def receiving(certificate: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):  # by which some follow a redirect
            self.do_POST()

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.ports.append(self.client_address[1])
            receiver.note(self.path, headers, body)
            name = self.path.strip("/")
            with suppress(OSError):  # whoever asked has gone
                if name == "drip":
                    self.drip()
                elif name == "endless":
                    self.endless()
                else:
                    self.answer(name, headers.get("webhook-id", ""))

        def answer(self, name, message_id):
            if name == "slow":
                receiver.let_go.wait(SLOW_SECONDS)
            status = STATUSES.get(name, 200)
            if not receiver.up or message_id in receiver.refused:
                status = 503
            self.send_response(status)
            if name == "busy":
                self.send_header("Retry-After", "3600")
            if name == "elsewhere":
                self.send_header("Location", receiver.at("ok"))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def drip(self):
            """A head that never ends: a byte at a time, each well before any read gives up."""
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not receiver.let_go.wait(0.05):
                self.wfile.write(b"x")

        def endless(self):
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            while not receiver.let_go.is_set():
                self.wfile.write(PIECE)
                receiver.written += len(PIECE)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = directory / "cert.pem", directory / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, secret
