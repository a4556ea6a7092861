"""``python -m sync_pipelines.cli`` is ``sync-pipelines``."""

from sync_pipelines.cli.app import main

main()
