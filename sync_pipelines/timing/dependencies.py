"""Which syncs wait for which: a graph that must have no way round."""

from collections.abc import Iterable, Iterator, Mapping


def cycle(graph: Mapping[str, Iterable[str]]) -> tuple[str, ...] | None:
    """One way round, as ``(a, b, a)``, in a graph of each sync to those it waits for.

    None if there is none. The same graph gives the same answer.
    """
    done: set[str] = set()
    for start in sorted(graph):
        path: dict[str, Iterator[str]] = {}
        node: str | None = start if start not in done else None
        while node is not None:
            if node in path:
                steps = list(path)
                return (*steps[steps.index(node) :], node)
            if node not in done:
                path[node] = iter(sorted(graph.get(node, ())))
            node = _following(path, done)
    return None


def _following(path: dict[str, Iterator[str]], done: set[str]) -> str | None:
    """The next to look at from the end of the path, which shrinks where nothing is left."""
    while path:
        last = next(reversed(path))
        for node in path[last]:
            return node
        done.add(last)
        del path[last]
    return None
