"""Database servers as fixtures: ``pytest_plugins = ["tests.servers.stores"]``."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import install
from tests.servers.running import started


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """MariaDB, from Debian's package: the URL of its superuser, without a database."""
    program = install.debian_command("mariadbd", "mariadb-server")
    with tempfile.TemporaryDirectory(prefix="sync-mariadb-") as home:
        data = Path(home) / "data"
        account = _account("mysql")
        if os.getuid() == 0:
            shutil.chown(home, account, account)
        made = [
            "mariadb-install-db",
            "--no-defaults",
            f"--user={account}",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        subprocess.run(made, check=True, capture_output=True, timeout=120)

        def command(port: int) -> list[str | Path]:
            where = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={data}/m.sock"]
            quick = ["--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"]
            who = ["--no-defaults", f"--user={account}", f"--datadir={data}"]
            return [program, *who, *where, *quick]

        with started(command) as port:
            yield f"mysql://root@127.0.0.1:{port}"


def _account(wanted: str) -> str:
    """Servers refuse to run as root: then they get the account that their package made."""
    return wanted if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(scope="session")
def mongodb_server() -> Iterator[str]:
    """SecantusDB, which speaks MongoDB's protocol as a replica set of one: its URL."""
    program = install.command("secantusd-py")
    quick = ["--storage-path", ":memory:", "--cache-size", "256M"]
    # A short log, so that a test can see events go; fail points, so that it can see errors.
    tests = ["--enable-test-commands", "--oplog-max-entries", "2000"]
    with started(lambda port: [program, "--port", str(port), *quick, *tests]) as port:
        yield f"mongodb://127.0.0.1:{port}/"
