"""The mistakes that a file can have: ``#!`` marks the line that the message must name."""

FRAME = """\
tenant: acme
connections:
  shop: {connector: database, config: {url: "sqlite:////tmp/shop.db"}}
  house: {connector: database, config: {url: "sqlite:////tmp/house.db"}}
syncs:
  orders:
    source: shop
    destination: house
"""


def in_stream(keys: str) -> str:
    return FRAME + f"    streams:\n      - {{name: orders, {keys}}} #!\n"


def in_sync(keys: str) -> str:
    return FRAME + f"    streams: [orders]\n    {keys}\n"


def in_schedule(keys: str) -> str:
    return in_sync(f"schedules:\n      nightly: {{{keys}}} #!")


def in_connections(entry: str) -> str:
    return f"tenant: acme\nconnections:\n  {entry}\n"


WRONG = {
    "unknown top key": (
        "tenant: acme\nsinks: {} #!\n",
        "unknown key 'sinks'; did you mean 'syncs'?",
    ),
    "no tenant": ("syncs: {} #!\n", "the file needs tenant"),
    "tenant with a slash": ("tenant: a/b #!\n", "tenant 'a/b' cannot be a name"),
    "tenant in capitals": ("tenant: Acme #!\n", "lower-case letters"),
    "tenant too long": (f"tenant: {'a' * 64} #!\n", "at most 63"),
    "sync name in capitals": (
        "tenant: acme\nsyncs:\n  Orders: {} #!\n",
        "name 'Orders' cannot be a name",
    ),
    "a number for a tenant": ("tenant: 7 #!\n", "tenant 7 is wrong; write a lower-case word"),
    "a list for a tenant": ("tenant: [a] #!\n", "tenant is a list"),
    "a list at the top": ("- tenant: acme #!\n", "the file must be a mapping"),
    "an empty file": ("#!\n", "the file is empty"),
    "not YAML": ("tenant: acme\nsyncs: ] #!\n", "this is not YAML"),
    "a tab": ("tenant: acme\nsyncs:\n\ta: b #!\n", "this is not YAML"),
    "two documents": ("tenant: acme\n--- #!\ntenant: b\n", "one document a file"),
    "a control character": ("tenant: acme\nsyncs: \x01 #!\n", "is not allowed in YAML"),
    "a key twice": ("tenant: acme\nsyncs: {}\nsyncs: {} #!\n", "key 'syncs' stands here again"),
    "a key of a sync twice": (
        in_sync("retry:\n      jitter: 0\n      jitter: 1 #!"),
        "key 'jitter' stands here again; first in line 11",
    ),
    "a python object": ("tenant: !!python/name:os.system #!\n", "is not known here"),
    "an endless number": (in_sync("retry: {factor: .inf} #!"), "not a finite number"),
    "an unknown connector": (
        in_connections("shop: {connector: databse} #!"),
        "unknown connector 'databse'; did you mean 'database'?",
    ),
    "no connector": (in_connections("shop: {config: {}} #!"), "a connection needs connector"),
    "a connection that is a text": (in_connections("shop: database #!"), "'shop' is wrong"),
    "an unknown key of a connection": (
        in_connections(
            "shop:\n    connector: database\n    config: {url: sqlite:////tmp/a}\n"
            "    confg: 1 #!"
        ),
        "unknown key 'confg'; did you mean 'config'?",
    ),
    "no URL": (in_connections("shop: {connector: database} #!"), "config.url: Field required"),
    "a wrong URL": (
        in_connections("shop:\n    connector: database\n    config:\n      url: db2://h/d #!"),
        "a URL must start with one of postgresql://",
    ),
    "a MySQL URL without a user": (
        in_connections("shop:\n    connector: database\n    config:\n      url: mysql://h/d #!"),
        "config.url: Value error, write mysql://user:password@host:3306/database",
    ),
    "an unknown option": (
        in_connections(
            "shop:\n    connector: database\n    config:\n      url: sqlite:////tmp/a\n"
            "      ulr: b #!"
        ),
        "config.ulr: Extra inputs are not permitted; database takes: url",
    ),
    "a missing variable": (
        in_connections("shop: {connector: database, config: {url: '${env:SHOP_URL}'}} #!"),
        "environment variable 'SHOP_URL' is not set",
    ),
    "a nameless variable": ("tenant: ${env:} #!\n", "'${env:}' should be ${env:NAME}"),
    "an unknown source": (
        FRAME.replace("source: shop", "source: shp #!") + "    streams: [orders]\n",
        "source 'shp' is no connection of the file or the tenant; did you mean 'shop'?",
    ),
    "no destination": (
        FRAME.replace("    destination: house\n", "").replace("orders:", "orders: #!")
        + "    streams: [orders]\n",
        "a sync needs destination",
    ),
    "no streams": (FRAME.replace("orders:", "orders: #!"), "a sync needs streams"),
    "empty streams": (FRAME + "    streams: [] #!\n", "a sync needs streams"),
    "streams as a mapping": (FRAME + "    streams: {orders: {}} #!\n", "a sync needs streams"),
    "a stream without a name": (
        FRAME + "    streams:\n      - {sync_mode: full} #!\n",
        "a stream needs name",
    ),
    "a stream that is a number": (FRAME + "    streams:\n      - 7 #!\n", "a stream is its name"),
    "an unknown key of a stream": (
        in_stream("sync_moed: full"),
        "unknown key 'sync_moed'; did you mean 'sync_mode'?",
    ),
    "a key that nothing resembles": (in_stream("zzz: 1"), "a stream takes: name, sync_mode"),
    "an unknown mode": (
        in_stream("sync_mode: incremntal"),
        "sync_mode 'incremntal' is not known; did you mean 'incremental'?",
    ),
    "an incremental replace": (
        in_stream("sync_mode: incremental"),
        "an incremental read cannot replace the whole table; use write_mode upsert or append",
    ),
    "deletes without an upsert": (
        in_stream("deletes: soft"),
        "deletes: soft needs write_mode upsert",
    ),
    "a lag without a unit": (in_stream("lag: 5"), "lag 5 is wrong; write 30s, 5m, 1h or 2d"),
    "a lag of years": (in_stream("lag: 9999d"), "at most 3660d"),
    "a key that is a text": (in_stream("primary_key: id"), "write a list of names"),
    "a key with a number": (in_stream("primary_key: [1]"), "write a list of names"),
    "a column twice": (in_stream("columns: [a, a]"), "columns names 'a' twice"),
    "a flag that is a text": (
        in_stream("allow_empty: 'yes'"),
        "allow_empty 'yes' is wrong; write true or false",
    ),
    "an empty filter": (in_stream("row_filter: ' '"), "row_filter ' ' is wrong"),
    "a stream twice": (
        FRAME + "    streams:\n      - orders\n      - {name: orders, table: b} #!\n",
        "stream 'orders' stands here again; first in line 10",
    ),
    "two streams into one table": (
        FRAME + "    streams:\n      - public.orders\n      - {name: sales.orders} #!\n",
        "streams 'public.orders' and 'sales.orders' both write table 'orders'",
    ),
    "two streams into one table of which both delete": (
        FRAME
        + "    streams:\n"
        + "      - {name: orders, write_mode: upsert, deletes: soft}\n"
        + "      - {name: ids, table: orders, write_mode: upsert, deletes: hard} #!\n",
        "which they may if all have write_mode upsert and one at most has deletes",
    ),
    "three streams into one table of which one replaces it": (
        FRAME
        + "    streams:\n"
        + "      - {name: orders, write_mode: upsert}\n"
        + "      - {name: ids, table: orders, write_mode: upsert, deletes: hard}\n"
        + "      - {name: more, table: orders} #!\n",
        "streams 'orders' and 'more' both write table 'orders'",
    ),
    "two tables that only capital letters tell apart": (
        FRAME + "    streams:\n      - orders\n      - Orders #!\n",
        "streams 'orders' and 'Orders' both write table 'Orders'",
    ),
    "no attempts": (in_sync("retry: {max_attempts: 0} #!"), "max_attempts 0 is wrong"),
    "attempts that are true": (in_sync("retry: {max_attempts: true} #!"), "max_attempts True"),
    "half an attempt": (in_sync("retry: {max_attempts: 1.5} #!"), "a whole number 1 to 1000"),
    "a ceiling below the start": (
        in_sync("retry:\n      initial: 2m\n      ceiling: 1m #!"),
        "must not be below initial",
    ),
    "too much jitter": (in_sync("retry: {jitter: 2} #!"), "write a number 0 to 1"),
    "an unknown key of retry": (in_sync("retry: {maxattempts: 2} #!"), "'max_attempts'?"),
    "a retry that is a number": (in_sync("retry: 3 #!"), "retry is wrong; write a mapping"),
    "an unknown cadence": (in_schedule("type: dayly"), "type 'dayly' is not known"),
    "a bad cron": (in_schedule("type: cron, cron: '61 * * * *'"), "minute '61' in cron"),
    "a bad zone": (
        in_schedule("type: daily, timezone: America/Edmontn"),
        "timezone 'America/Edmontn' is not an IANA zone; try 'America/Edmonton'",
    ),
    "an unquoted time": (in_schedule("type: daily, at: 10:30"), "put quotes around it"),
    "a key of another cadence": (
        in_schedule("type: daily, minutes: 5"),
        "'minutes' is not a key of schedules of type daily",
    ),
    "an unknown key of a schedule": (
        in_schedule("type: daily, timezon: UTC"),
        "unknown key 'timezon'; did you mean 'timezone'?",
    ),
    "a wrong clock rule": (
        in_schedule("type: daily, clock_change: {missing: never}"),
        "missing 'never' is not known",
    ),
    "an event from nowhere": (in_schedule("type: event"), "trigger is missing; write one of"),
    "an unknown trigger": (
        in_schedule("type: event, trigger: phone"),
        "trigger 'phone' is not known; write one of webhook, api, user-action",
    ),
    "a condition that is none": (
        in_sync(
            "schedules:\n      s:\n        type: event\n        trigger: webhook\n"
            "        conditions:\n          - {field: status, equals: paid}\n"
            "          - {field: total, above: 3} #!"
        ),
        "condition 2: 'above' of field 'total' is not known; write one of equals",
    ),
    "conditions that are no list": (
        in_schedule("type: event, trigger: api, conditions: {field: a, equals: b}"),
        "conditions is not a list",
    ),
    "after nothing": (in_schedule("type: after"), "sync None is not a sync's name"),
    "after what there is not": (
        in_schedule("type: after, sync: ordrs"),
        "sync 'ordrs' to wait for is none of the file or the tenant; did you mean 'orders'?",
    ),
    "after another tenant's": (
        in_schedule("type: after, sync: rival/orders"),
        "sync 'rival/orders' belongs to another tenant; name one of 'acme''s own",
    ),
    "after itself": (
        in_schedule("type: after, sync: orders"),
        "acme/orders waits for acme/orders: none of them would ever start; give one",
    ),
    "an adaptive cadence without bounds": (
        in_schedule("type: adaptive, least: 5m"),
        "most is missing; write an interval",
    ),
    "bounds the wrong way round": (
        in_schedule("type: adaptive, least: 1h, most: 5m"),
        "most, 5m, is not longer than least, 1h",
    ),
    "an unknown overlap": (
        in_schedule("every: 5m, overlap: wait"),
        "overlap 'wait' is not known; write one of skip, queue, cancel",
    ),
    "an unknown way to catch up": (
        in_schedule("every: 5m, missed: never"),
        "missed 'never' is not known; write one of once, all, skip",
    ),
    "too many to catch up": (
        in_sync(
            "schedules:\n      s:\n        every: 5m\n        missed:\n"
            "          policy: all\n          most: 1001 #!"
        ),
        "most 1001 is wrong; write a whole number 1 to 1000",
    ),
    "a window that is too short": (
        in_schedule("every: 5m, missed: {policy: all, window: 4m}"),
        "window 0:04:00 is wrong; take whole minutes, 5 to 366d",
    ),
    "a spread of days": (in_schedule("every: 5m, spread: 1d"), "spread '1d' is wrong; write it as"),
    "a spread without a unit": (in_schedule("every: 5m, spread: 10"), "spread 10 is wrong"),
    "a blackout with an unquoted time": (
        in_sync(
            "schedules:\n      s:\n        every: 5m\n        blackouts:\n"
            "          - {days: [sat], from: '22:00', to: '06:00'}\n"
            "          - days: [sun]\n            from: 22:00 #!"
        ),
        "from 1320 is a number; if it was written 22:00, put quotes around it",
    ),
    "a blackout on no weekday": (
        in_schedule("every: 5m, blackouts: [{days: [caturday]}]"),
        "days has 'caturday', which is not a weekday",
    ),
    "a blackout that ends before it starts": (
        in_schedule("every: 5m, blackouts: [{from: '2026-12-26', to: '2026-12-24'}]"),
        "to 2026-12-24 of a blackout is before its from, 2026-12-26",
    ),
    "a start without an offset": (
        in_schedule("every: 5m, starts_at: '2026-02-01T08:00:00'"),
        "starts_at '2026-02-01T08:00:00' is not an instant; write it with its offset",
    ),
    "an end before the start": (
        in_sync(
            "schedules:\n      s:\n        every: 5m\n"
            "        ends_at: 2026-02-01T00:00:00Z #!\n        starts_at: 2026-02-02T00:00:00Z"
        ),
        "ends_at 2026-02-01T00:00:00+00:00 is not after starts_at",
    ),
    "a pause without a reason": (
        in_schedule("every: 5m, pause: {until: '2026-02-01T08:00:00Z'}"),
        "reason of the pause is empty",
    ),
    "a pause that is a flag": (in_schedule("every: 5m, pause: true"), "pause True is wrong"),
    "an unknown key of a pause": (
        in_schedule("every: 5m, pause: {reason: a, till: b}"),
        "'till' is not a key of pause; it takes reason, until",
    ),
    "an unknown priority": (
        in_schedule("every: 5m, priority: urgent"),
        "priority 'urgent' is not known; write one of high, normal, low",
    ),
    "a schedule that is a text": (
        in_sync("schedules:\n      nightly: daily #!"),
        "schedule 'nightly' is wrong",
    ),
    "a schedule's name": (in_sync("schedules: {At Night: {type: daily}} #!"), "cannot be a name"),
    "a breaker that never opens": (in_sync("breaker: {failures: 0} #!"), "failures 0 is wrong"),
    "a breaker without patience": (
        in_sync("breaker:\n      failures: 3\n      probe_after: 0s #!"),
        "probe_after is no time at all; write 1s or more",
    ),
    "a breaker with a low ceiling": (
        in_sync("breaker:\n      probe_after: 1h\n      ceiling: 5m #!"),
        "must not be below probe_after",
    ),
    "an unknown key of breaker": (
        in_sync("breaker: {failure: 2} #!"),
        "unknown key 'failure'; did you mean 'failures'?",
    ),
    "a pause of the breaker that is no flag": (
        in_sync("breaker: {pause: ask} #!"),
        "pause 'ask' is wrong; write true or false",
    ),
    "a stall of seconds": (
        in_sync("retry:\n      stalled_after: 30s #!"),
        "stalled_after 0:00:30 must be at least a minute",
    ),
    "a reason without a pause": (
        in_sync("pause_reason: stocktaking #!"),
        "pause_reason is for a paused sync; write is_active: false",
    ),
    "a flag of a sync": (in_sync("is_active: 1 #!"), "is_active 1 is wrong"),
}  # fmt: skip
