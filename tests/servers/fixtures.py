"""The servers as fixtures: a test module asks with ``pytest_plugins = ["tests.servers.fixtures"]``.

One more server is one more function: a command in `started`, and what its tests need to know.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from threading import Thread
from typing import Any

import asyncssh
import pytest

from tests.servers import install
from tests.servers.google import xml_front
from tests.servers.running import started

BUCKET = "sync-tests"
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
"""The account that every Azurite has; it opens nothing else."""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[dict[str, Any]]:
    """Moto, with a bucket: the fields of a connection but its URL's prefix."""
    program = install.command("moto_server")
    with started(lambda port: [program, "-H", "127.0.0.1", "-p", str(port)]) as port:
        endpoint = f"http://127.0.0.1:{port}"
        _ask("PUT", f"{endpoint}/{BUCKET}")
        yield {
            "url": f"s3://{BUCKET}",
            "endpoint": endpoint,
            "allow_http": True,
            "access_key_id": "tests",
            "secret_access_key": "tests",
        }


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[dict[str, Any]]:
    """fake-gcs-server, with a bucket, behind a front that can be written to."""
    [program] = install.python().parent.parent.rglob("fake-gcs-server-linux-amd64")
    program.chmod(0o755)

    def command(port: int) -> list[str | Path]:
        where = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
        return [program, "-scheme", "http", "-backend", "memory", *where]

    with started(command) as port, xml_front(port) as endpoint:
        bucket = json.dumps({"name": BUCKET}).encode()
        kind = {"Content-Type": "application/json"}
        _ask("POST", f"{endpoint}/storage/v1/b?project=tests", bucket, kind)
        keys = {"client_email": "", "private_key": "", "private_key_id": ""}
        account = {"gcs_base_url": endpoint, "disable_oauth": True, **keys}
        yield {
            "url": f"gs://{BUCKET}",
            "endpoint": endpoint,
            "allow_http": True,
            "service_account": json.dumps(account),
        }


@pytest.fixture(scope="session")
def azure_server() -> Iterator[dict[str, Any]]:
    """Azurite, with a container."""
    program = install.npm_command("azurite-blob", "azurite")

    def command(port: int) -> list[str | Path]:
        where = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
        return [program, "--silent", "--inMemoryPersistence", "--skipApiVersionCheck", *where]

    with started(command) as port:
        endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        _ask("PUT", f"{endpoint}/{BUCKET}?restype=container", headers=_azure_headers())
        yield {
            "url": f"az://{BUCKET}",
            "endpoint": endpoint,
            "allow_http": True,
            "account": AZURE_ACCOUNT,
            "account_key": AZURE_KEY,
        }


@pytest.fixture(scope="session")
def sftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An SFTP server of asyncssh, in a thread of this process; its root is ``directory``."""
    directory = tmp_path_factory.mktemp("sftp")
    with _event_loop() as loop:
        key = asyncssh.generate_private_key("ssh-ed25519")

        class Server(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("tests", "secret")

        async def listening() -> asyncssh.SSHAcceptor:
            def files(connection: Any) -> asyncssh.SFTPServer:
                return asyncssh.SFTPServer(connection, chroot=str(directory).encode())

            return await asyncssh.create_server(
                Server, "127.0.0.1", 0, server_host_keys=[key], sftp_factory=files
            )

        server = asyncio.run_coroutine_threadsafe(listening(), loop).result(30)
        try:
            yield {
                "url": f"sftp://tests@127.0.0.1:{server.get_port()}",
                "password": "secret",
                "host_key": key.export_public_key().decode().strip(),
                "directory": directory,
            }
        finally:
            asyncio.run_coroutine_threadsafe(_ended(server), loop).result(30)


async def _ended(server: asyncssh.SSHAcceptor) -> None:
    server.close()
    await server.wait_closed()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def _event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="sftp-server", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def _ask(method: str, url: str, data: bytes = b"", headers: dict[str, str] | None = None) -> None:
    asked = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        answer.read()


def _azure_headers() -> dict[str, str]:
    """Signed as the shared key of an account signs."""
    at, version = formatdate(usegmt=True), "2021-08-06"
    kind = "application/octet-stream"
    lines = ["PUT", *[""] * 4, kind, *[""] * 6, f"x-ms-date:{at}", f"x-ms-version:{version}"]
    place = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}\nrestype:container"
    said = "\n".join([*lines, place]).encode()
    signed = hmac.new(base64.b64decode(AZURE_KEY), said, hashlib.sha256).digest()
    signature = base64.b64encode(signed).decode()
    return {
        "x-ms-date": at,
        "x-ms-version": version,
        "Content-Type": kind,
        "Authorization": f"SharedKey {AZURE_ACCOUNT}:{signature}",
    }
