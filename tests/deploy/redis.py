"""A Redis of the tests' own: Debian's, installed or only unpacked, on a free loopback port."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sync_pipelines.runtime.waiting import wait_until

PACKAGES = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"]
"""redis-server is a link to a program of redis-tools; the rest it is linked with."""


@contextmanager
def running(cache: Path, directory: Path) -> Iterator[int]:
    """The port of a running server; the test is skipped, with the reason, where none can be."""
    program, environment = _program(cache)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)]
    command += ["--save", "", "--logfile", str(directory / "redis.log")]
    process = subprocess.Popen(command, env=environment)
    try:
        assert wait_until(lambda: _answers(port) or process.poll() is not None, seconds=20)
        assert process.poll() is None, (directory / "redis.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        if client.connect_ex(("127.0.0.1", port)) != 0:
            return False
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")


def _program(cache: Path) -> tuple[str, dict[str, str]]:
    """The machine's own, else Debian's, unpacked where root and nobody else need agree to it."""
    installed = shutil.which("redis-server")
    if installed is not None:
        return installed, dict(os.environ)
    unpacked = cache / "unpacked"
    if not unpacked.exists():
        _unpack(cache, unpacked)
    libraries = ":".join(str(one) for one in sorted(unpacked.glob("usr/lib/*-linux-gnu")))
    program, environment = str(unpacked / "usr/bin/redis-server"), os.environ.copy()
    environment["LD_LIBRARY_PATH"] = libraries
    tried = subprocess.run([program, "--version"], env=environment, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"Debian's redis-server does not run here: {tried.stderr.strip()}")
    return program, environment


def _unpack(cache: Path, unpacked: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("there is no redis-server, and no apt-get to fetch Debian's with")
    lists = cache / "apt"
    for directory in ("state/lists/partial", "cache/archives/partial"):
        (lists / directory).mkdir(parents=True, exist_ok=True)
    own = ["-o", f"Dir::State={lists}/state", "-o", f"Dir::Cache={lists}/cache"]
    own += ["-o", "Dir::State::status=/var/lib/dpkg/status"]
    # With the machine's package lists if they are of use, else with lists of our own.
    ways = [[["download"]], [[*own, "update"], [*own, "download"]]]
    said = ""
    for way in ways:
        for options in way:
            wanted = PACKAGES if options[-1] == "download" else []
            done = subprocess.run(
                ["apt-get", "-q", *options, *wanted], cwd=lists, capture_output=True, text=True
            )
            said = done.stderr.strip()
            if done.returncode != 0:
                break
        else:
            break
    else:
        pytest.skip(f"there is no redis-server, and Debian's cannot be fetched: {said}")
    unfinished = cache / f"unpacking-{os.getpid()}"
    for package in lists.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(unfinished)], check=True)
    unfinished.rename(unpacked)
