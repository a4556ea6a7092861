"""The command line: every door of the product for whoever runs or uses it from a terminal.

Laws: data goes to standard output, everything else to standard error; with ``--json``
standard output is one JSON document; the exit code is 0, 1 (failed) or 2 (bad usage).
"""

from sync_pipelines.cli.app import app, main

__all__ = ["app", "main"]
