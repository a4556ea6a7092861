"""External systems: how to read from them and write to them.

Law: nothing here knows Dagster, tenants, schedules or the catalog. A connector
is given configuration and a stream, and speaks in batches.
"""

import os

# Said before anything imports Arrow. Its allocator asks for huge pages, of which each takes
# 2 MB with its first byte: 6 MB of a process that holds 1.7 MB of records, 20 MB of others.
# It is said by an import, since Dagster's own servers and scripts have no other door of ours.
os.environ.setdefault("MIMALLOC_ALLOW_THP", "0")
