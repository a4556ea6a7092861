"""Warm runs: each Dagster run is forked from a process that has imported everything once.

::

    daemon, webserver ── WarmRunLauncher ──socket──► host ──fork──► one child a run
                              │                       │
                              └──────── ledger ◄──────┘   (who runs what, on disk)
"""
