"""PostgreSQL: catalog, reading by ADBC and COPY, writing."""
