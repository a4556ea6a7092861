"""The only door for people and programs: HTTP in, our words inside.

Laws:

* What is done for a tenant goes through `Catalog.as_tenant`; only sign-in, tokens and
  the installation's own affairs use the plain catalog.
* A handler is thin: it asks the engine or the catalog, and spells the answer. Handlers
  that speak SQL are plain functions, which run in threads.
* Nothing here knows Dagster, processes or the command line: what it needs of them is
  handed in as `Doors`.
"""
