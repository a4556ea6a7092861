"""MySQL and MariaDB: catalog, reading as a stream of exact texts, writing."""
