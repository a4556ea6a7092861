"""Crash proof, R63, R64, R70, R152: SIGKILL at any moment loses nothing and doubles nothing.

``SYNC_CRASH_SEEDS`` says how many cases are run, ``SYNC_CRASH_FIRST`` and
``SYNC_CRASH_ONLY`` which ones; ``python -m tests.crash --help`` sets them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.contract import Encoding
from tests.crash.harness import COMBINATIONS, Combination, Harness, harness
from tests.crash.orders import Manner

SEEDS = int(os.environ.get("SYNC_CRASH_SEEDS", "32"))
FIRST = int(os.environ.get("SYNC_CRASH_FIRST", "0"))
CHOSEN = [one for one in COMBINATIONS if os.environ.get("SYNC_CRASH_ONLY", "") in str(one)]
CASES = [(CHOSEN[number % len(CHOSEN)], FIRST + number // len(CHOSEN)) for number in range(SEEDS)]


@pytest.fixture(scope="module")
def proof(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with harness(postgres_url, tmp_path_factory.mktemp("crash")) as proof:
        yield proof
        if proof.kills.total() > 50:
            assert proof.kills.keys() == {"step", "commit", "outside"}, "some kills never land"


@pytest.mark.parametrize(("combination", "seed"), CASES, ids=str)
def test_a_sync_that_is_killed_at_random_moments_gets_through_exactly(
    proof: Harness, combination: Combination, seed: int
) -> None:
    """With kills in the middle of reading, staging, merging, and around the commit."""
    proof.run(combination, seed)


@pytest.mark.parametrize(
    "combination",
    [
        Combination(manner=manner, encoding=Encoding.ARROW, destination="sqlite")
        for manner in (Manner.APPEND, Manner.UPSERT)
    ],
    ids=str,
)
def test_a_mutant_that_commits_the_state_before_the_data_is_caught(
    postgres_url: str, tmp_path: Path, combination: Combination
) -> None:
    with harness(postgres_url, tmp_path, mutant=True) as proof:
        caught = any(_loses(proof, combination, seed) for seed in range(12))

    assert caught


def _loses(proof: Harness, combination: Combination, seed: int) -> bool:
    try:
        proof.run(combination, seed)
    except AssertionError as error:
        assert "lost: " in str(error)
        return True
    return False
