"""``python -m sync_pipelines.runtime.warm --module M --socket S``: the host, by itself."""

import argparse
from pathlib import Path

from sync_pipelines.runtime.warm.host import Host, preload
from sync_pipelines.runtime.warm.ledger import Ledger
from sync_pipelines.settings import Settings


def main() -> None:
    """Import everything, then serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True, help="The code location's module.")
    parser.add_argument("--socket", required=True, type=Path, help="Where launchers ask.")
    parser.add_argument("--idle-seconds", type=float, help="End after so long without a run.")
    asked = parser.parse_args()
    preload(asked.module)
    ledger = Ledger.of(Settings().home_path)
    Host(asked.socket, ledger, idle_seconds=asked.idle_seconds).serve()


if __name__ == "__main__":
    main()
