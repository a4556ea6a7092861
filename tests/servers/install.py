"""What the servers need, installed once: ``.venv-servers`` beside ``.venv``, and npm packages.

Law: several test processes may ask at once, and one of them installs. What cannot be
installed makes its tests skip, and the reason is shown.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CLONE = HERE.parent.parent
HOME = CLONE / ".venv-servers"
LOCK = HERE / "requirements.lock"
NPM_PACKAGES = {"azurite": "3.37.0"}
PATIENCE_SECONDS = 170
# npm brings authorities of its own; a network's own one is among those of the machine.
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@cache
def python() -> Path:
    """The servers' Python; skips the test that asks when it cannot be made."""
    with _alone():
        stamp = HOME / "made-of"
        wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != wanted:
            if not stamp.exists():
                shutil.rmtree(HOME, ignore_errors=True)
                _run([sys.executable, "-m", "venv", "--without-pip", str(HOME)], "python -m venv")
            stamp.unlink(missing_ok=True)
            target = str(HOME / "bin/python")
            quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
            locked = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", str(LOCK)]
            pip = [sys.executable, "-m", "pip", "--python", target, "install", *quiet, *locked]
            _run(pip, "pip install of tests/servers/requirements.lock")
            stamp.write_text(wanted)
    return HOME / "bin/python"


def command(name: str) -> Path:
    """A program that the servers' packages brought."""
    return python().parent / name


@cache
def npm_command(name: str, package: str) -> Path:
    """A program of an npm package, with Debian's npm where there is none."""
    npm = debian_command("npm", "npm")
    version = NPM_PACKAGES[package]
    home = HOME.with_name(HOME.name + "-npm") / f"{package}-{version}"
    program = home / "node_modules/.bin" / name
    with _alone():
        if not program.exists():
            home.mkdir(parents=True, exist_ok=True)
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(home)]
            _run([str(npm), "install", *options, f"{package}@{version}"], f"npm install {package}")
    return program


@cache
def debian_command(name: str, package: str) -> Path:
    """A program of a Debian package; skips the test that asks where it cannot be installed."""
    where = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    with _alone():
        if shutil.which(name, path=where) is None:
            apt = shutil.which("apt-get")
            if apt is None or os.getuid() != 0:
                pytest.skip(f"{name} is not installed; as root, apt-get install {package}")
            _run([apt, "install", "-y", "--no-install-recommends", package], f"apt-get {package}")
    found = shutil.which(name, path=where)
    if found is None:
        pytest.skip(f"{package} is installed, but has no {name}")
    return Path(found)


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time; the others find what it has made."""
    path = HOME.with_name(HOME.name + ".lock")
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str], what: str) -> None:
    environment = {
        **({"NODE_EXTRA_CA_CERTS": str(AUTHORITIES)} if AUTHORITIES.exists() else {}),
        **os.environ,
        "PIP_REQUIRE_VIRTUALENV": "0",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            env=environment,
        )
    except subprocess.CalledProcessError as error:
        pytest.skip(f"{what} failed: {error.stderr.strip()[-300:]}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what} took longer than {PATIENCE_SECONDS} seconds")
