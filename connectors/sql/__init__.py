"""Databases as sources and destinations: one algorithm each, dialects as their differences."""
