"""Every mistake a file can have is refused with its line and with what would be right."""

from itertools import pairwise

import pytest

from sync_pipelines.apply.current import Current
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.apply.plan import make_plan
from sync_pipelines.apply.problems import ManifestError
from tests.apply.mistakes import FRAME, WRONG, in_connections
from tests.world import START


def refusal(text: str, environment: dict[str, str] | None = None) -> ManifestError:
    parsed = parse_manifest(text, file="acme.yaml", environment=environment or {})
    with pytest.raises(ManifestError) as caught:
        make_plan(parsed, Current(), now=START)
    return caught.value


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
    text = FRAME.replace("sqlite:////tmp/shop.db", "db2://x") + "    streams: [orders]\n"

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
        FRAME + "    streams: [a]\n    schedules: {s: {type: after, sync: '${env:SECRET}'}}\n",
        FRAME + "    streams: [a]\n    schedules: {s: {every: 5m, spread: '${env:SECRET}'}}\n",
        FRAME + "    streams: [a]\n"
        "    schedules: {s: {every: 5m, pause: {reason: a, until: '${env:SECRET}'}}}\n",
        FRAME + "    streams: [a]\n"
        "    schedules: {s: {every: 5m, blackouts: [{from: '${env:SECRET}'}]}}\n",
        FRAME + "    streams: [a]\n"
        "    schedules: {s: {type: event, trigger: api, conditions: ['${env:SECRET}']}}\n",
        FRAME + "    streams: [a]\n    breaker: {probe_after: '${env:SECRET}'}\n",
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


WAITING = """\
tenant: acme
connections:
  db: {connector: database, config: {url: "sqlite:////tmp/a.db"}}
syncs:
  a: {source: db, destination: db, streams: [a], schedules: {s: {type: after, sync: b}}}
  b: {source: db, destination: db, streams: [b], schedules: {s: {type: after, sync: acme/c}}}
  c: {source: db, destination: db, streams: [c], schedules: {s: {type: after, sync: a}}}
"""


def test_a_way_round_is_refused_with_all_its_steps() -> None:
    """R80: syncs that wait for each other would never start."""
    (problem,) = refusal(WAITING).problems

    assert problem.line == 5
    assert problem.message == (
        "acme/a waits for acme/b waits for acme/c waits for acme/a: none of them would ever "
        "start; give one of them a time instead"
    )


def test_a_sync_that_is_wrong_itself_is_not_missed_by_those_that_wait_for_it() -> None:
    broken = WAITING.replace("streams: [b]", "streams: []").replace("after, sync: a}", "daily}")

    problems = refusal(broken).problems

    assert [problem.line for problem in problems] == [6]
