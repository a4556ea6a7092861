"""Dagster's only door into this project."""

from sync_pipelines.defs.build import build

defs = build()
