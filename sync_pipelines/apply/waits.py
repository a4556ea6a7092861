"""What is wrong with syncs that wait for others: unknown names, and ways round. Pure.

Law: a way round that was there before is not this file's mistake.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from sync_pipelines.apply.current import Current
from sync_pipelines.apply.manifest import Manifest, Wait
from sync_pipelines.apply.problems import Problem, nearest, redacted
from sync_pipelines.model.cadence import After, CadenceError
from sync_pipelines.timing.dependencies import cycle


def wait_problems(manifest: Manifest, current: Current) -> Iterator[Problem]:
    """Everything wrong with the waits of a file, seen together with what the catalog holds."""
    sound: list[Wait] = []
    for wait in manifest.waits:
        message = _wrong(wait, manifest, current)
        if message is None:
            sound.append(wait)
        else:
            yield Problem(line=wait.line, message=redacted(message, wait.hidden))
    yield from _ways_round(sound, manifest, current)


def _wrong(wait: Wait, manifest: Manifest, current: Current) -> str | None:
    try:
        key = wait.cadence.key(manifest.tenant)
    except CadenceError as error:
        return str(error)
    name = key.partition("/")[2]
    known = {one.name for one in manifest.syncs} | manifest.broken_syncs
    known |= {one.sync.name for one in current.syncs}
    if name in known:
        return None
    hint = nearest(name, sorted(known), what="there are")
    return f"sync {wait.cadence.sync!r} to wait for is none of the file or the tenant; {hint}"


def _ways_round(waits: list[Wait], manifest: Manifest, current: Current) -> Iterator[Problem]:
    tenant = manifest.tenant
    graph: defaultdict[str, set[str]] = defaultdict(set)
    for sync, after in (*_held(manifest, current), *((one.sync, one.cadence) for one in waits)):
        graph[f"{tenant}/{sync}"].add(after.key(tenant))
    while (way := cycle(graph)) is not None:
        steps = set(pairwise(way))
        for wait in waits:
            if (f"{tenant}/{wait.sync}", wait.cadence.key(tenant)) in steps:
                message = f"{' waits for '.join(way)}: none of them would ever start"
                remedy = "give one of them a time instead"
                yield Problem(line=wait.line, message=f"{message}; {remedy}")
                break
        graph[way[0]].discard(way[1])


def _held(manifest: Manifest, current: Current) -> Iterator[tuple[str, After]]:
    """The waits of the catalog that the file leaves as they are."""
    named = {(sync.name, one.name) for sync in manifest.syncs for one in sync.schedules}
    for held in current.syncs:
        for schedule in held.schedules:
            is_left = (held.sync.name, schedule.name) not in named
            if is_left and isinstance(schedule.cadence, After):
                yield held.sync.name, schedule.cadence
