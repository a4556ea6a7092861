"""The control plane's memory: tenants, connections, syncs, schedules, executions, state, audit.

Laws: every row has an owner; a query takes a tenant, or its name ends in
``_for_all_tenants`` and says why; what the database can enforce (one owner, one
claim, one running execution a sync) it enforces by a key, not by a lock.
"""
