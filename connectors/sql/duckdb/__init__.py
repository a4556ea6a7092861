"""DuckDB: catalog, reading and writing Arrow in place."""
