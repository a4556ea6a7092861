"""Syncs that wait for syncs must not wait for each other."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sync_pipelines.timing.dependencies import cycle

names = st.sampled_from("abcdef")
graphs = st.dictionaries(names, st.sets(names, max_size=3))


@given(graphs)
def test_a_way_round_is_one_and_is_found_if_there_is_one(graph: dict[str, set[str]]):
    """R80."""
    found = cycle(graph)

    assert (found is not None) is any(_reaches(graph, node, node) for node in graph)
    if found is not None:
        assert found[0] == found[-1]
        assert len(set(found)) == len(found) - 1
        assert all(late in graph[early] for early, late in pairwise(found))


def _reaches(graph: dict[str, set[str]], start: str, end: str) -> bool:
    """Another way to look: spread out from the start."""
    seen: set[str] = set()
    edge = set(graph.get(start, ()))
    while edge:
        seen |= edge
        edge = {there for node in edge for there in graph.get(node, ())} - seen
    return end in seen


def test_a_chain_of_ten_thousand_is_followed_to_its_end():
    chain = {str(number): [str(number + 1)] for number in range(10_000)}

    assert cycle(chain) is None
    assert len(cycle({**chain, "10000": ["0"]})) == 10_002


def test_the_same_graph_gives_the_same_way_whatever_its_order():
    forth = {"b": ["c"], "c": ["b"], "a": ["b"]}
    back = dict(reversed(forth.items()))

    assert cycle(forth) == cycle(back) == ("b", "c", "b")
