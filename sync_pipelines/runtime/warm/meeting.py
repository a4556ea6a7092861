"""Where launchers and hosts of an installation find each other."""

from pathlib import Path

from sync_pipelines.runtime.places import private_socket_directory

SUPERVISED = "SYNC_RUNS_SUPERVISED"
"""In the environment where somebody else keeps a host running."""


def socket_path(home: Path) -> Path:
    """Where the host of an installation listens."""
    return private_socket_directory(home, "run") / "runs.sock"
