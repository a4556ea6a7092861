"""Every mistake a file can have is refused with its line and with what would be right.

In these files, ``#!`` marks the line that the message must name.
"""

from itertools import pairwise

import pytest

from sync_pipelines.apply.current import Current
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.apply.plan import make_plan
from sync_pipelines.apply.problems import ManifestError
from tests.world import START

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


def refusal(text: str, environment: dict[str, str] | None = None) -> ManifestError:
    parsed = parse_manifest(text, file="acme.yaml", environment=environment or {})
    with pytest.raises(ManifestError) as caught:
        make_plan(parsed, Current(), now=START)
    return caught.value


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
        in_connections("shop:\n    connector: database\n    config:\n      url: mysql://h/d #!"),
        "a URL must start with one of postgresql://",
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
    "deletes without a full upsert": (
        in_stream("deletes: soft"),
        "needs sync_mode full and write_mode upsert",
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
        "'minutes' is not a key of a daily schedule",
    ),
    "an unknown key of a schedule": (
        in_schedule("type: daily, timezon: UTC"),
        "unknown key 'timezon'; did you mean 'timezone'?",
    ),
    "a wrong clock rule": (
        in_schedule("type: daily, clock_change: {missing: never}"),
        "missing 'never' is not known",
    ),
    "a schedule that is a text": (
        in_sync("schedules:\n      nightly: daily #!"),
        "schedule 'nightly' is wrong",
    ),
    "a schedule's name": (in_sync("schedules: {At Night: {type: daily}} #!"), "cannot be a name"),
    "a flag of a sync": (in_sync("is_active: 1 #!"), "is_active 1 is wrong"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=list(WRONG))
def test_a_mistake_is_refused_with_its_line_and_a_remedy(text: str, message: str) -> None:
    line = next(at for at, row in enumerate(text.splitlines(), 1) if "#!" in row)

    problems = refusal(text).problems

    assert [(problem.line, message in problem.message) for problem in problems] == [(line, True)], (
        problems
    )


def test_all_the_mistakes_of_a_file_are_told_together_in_order() -> None:
    text = (
        "tenant: Acme\n"
        "connections:\n"
        "  shop: {connector: databse}\n"
        "  house: {connector: database, config: {url: '${env:NOWHERE}'}}\n"
        "syncs:\n"
        "  orders:\n"
        "    source: shop\n"
        "    destination: hose\n"
        "    streams: [{name: a, lag: x}]\n"
        "    schedules: {s: {type: cron, cron: '* * *'}}\n"
    )

    error = refusal(text)

    assert [problem.line for problem in error.problems] == [1, 3, 4, 8, 9, 10]
    assert str(error).splitlines()[0].startswith("acme.yaml:1: tenant 'Acme'")


def test_a_connection_that_is_wrong_itself_is_not_missed_by_its_syncs() -> None:
    text = FRAME.replace("sqlite:////tmp/shop.db", "oracle://x") + "    streams: [orders]\n"

    error = refusal(text)

    assert [problem.line for problem in error.problems] == [3]


@pytest.mark.usefixtures("one_sided")
@pytest.mark.parametrize(
    ("source", "destination", "line", "message"),
    [
        (
            "dst",
            "house",
            4,
            "source 'dst' is a 'drain' connection, which can only be a destination",
        ),
        ("shop", "src", 5, "destination 'src' is a 'well' connection, which can only be a source"),
    ],
)
def test_a_connection_in_a_role_that_its_connector_cannot_play_is_refused(
    source: str, destination: str, line: int, message: str
) -> None:
    text = (
        "tenant: acme\n"
        "syncs:\n"
        "  orders:\n"
        f"    source: {source}\n"
        f"    destination: {destination}\n"
        "    streams: [orders]\n"
        "connections:\n"
        "  shop: {connector: database, config: {url: 'sqlite:////tmp/shop.db'}}\n"
        "  house: {connector: database, config: {url: 'sqlite:////tmp/house.db'}}\n"
        "  src: {connector: well}\n"
        "  dst: {connector: drain}\n"
    )

    (problem,) = refusal(text).problems

    assert (problem.line, message in problem.message) == (line, True)


@pytest.mark.parametrize(
    "place",
    [
        "tenant: '${env:SECRET}'\n",
        FRAME + "    streams: [{name: a, sync_mode: '${env:SECRET}'}]\n",
        FRAME + "    streams: [a]\n    retry: {initial: 'x${env:SECRET}y'}\n",
        FRAME + "    streams: [a]\n    schedules: {s: {type: daily, at: '${env:SECRET}'}}\n",
        FRAME + "    streams: [a]\n    schedules: {s: {type: daily, timezone: '${env:SECRET}'}}\n",
        FRAME + "    streams: ['${env:SECRET}', '${env:SECRET}']\n",
        in_connections("a: {connector: '${env:SECRET}'}"),
        in_connections("a: {connector: database, config: {url: 'my${env:SECRET}://x'}}"),
        FRAME.replace("source: shop", "source: '${env:SECRET}'") + "    streams: [a]\n",
    ],
)
def test_a_value_from_the_environment_is_in_no_message(place: str) -> None:
    """What the environment holds may be a password in the wrong place."""
    error = refusal(place, {"SECRET": "Hunter'2\\"})

    assert "unter" not in str(error)


@pytest.mark.parametrize(
    "bomb",
    [
        "a: &a [*a]\n",
        "[" * 3000,
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in pairwise("abcdefghi")),
    ],
    ids=["a list in itself", "a deep one", "a billion laughs"],
)
def test_a_file_that_would_grow_without_bound_is_refused(bomb: str) -> None:
    error = refusal(f"tenant: acme\nsyncs: {bomb}" if bomb[0] == "[" else f"tenant: acme\n{bomb}")

    assert error.problems


def test_a_cadence_that_nothing_drives_is_refused_instead_of_never_firing():
    text = (
        "tenant: acme\n"
        "connections:\n"
        "  db: {connector: database, config: {url: 'sqlite:////tmp/a.db'}}\n"
        "syncs:\n"
        "  orders:\n"
        "    source: db\n"
        "    destination: db\n"
        "    streams: [orders]\n"
        "    schedules:\n"
        "      clever: {type: adaptive}\n"
    )

    parsed = parse_manifest(text, file="acme.yaml", environment={})

    assert [problem.line for problem in parsed.problems] == [10]
