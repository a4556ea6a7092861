"""External systems: how to read from them and write to them.

Law: nothing here knows Dagster, tenants, schedules or the catalog. A connector
is given configuration and a stream, and speaks in batches.
"""
