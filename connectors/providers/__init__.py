"""Systems that are known by name: one file for each, most of it data."""
