"""SQLite: catalog, reading with its dynamic types made exact, writing."""
