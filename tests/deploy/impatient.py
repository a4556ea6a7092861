"""The code location as it is, but sooner sure that a silent execution is dead.

Two minutes are right for a worker that may only be slow; a test would wait through them.
"""

from datetime import timedelta

from sync_pipelines.engine import settle

settle.SILENT_AFTER = timedelta(seconds=25)

from sync_pipelines.definitions import defs  # noqa: E402

__all__ = ["defs"]
