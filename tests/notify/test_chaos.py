"""Every outcome is told once for each rule, whatever is killed, and soon.

Settlers, deliverers and a dispatcher are processes that are killed at random for a few seconds;
mail goes to a real server, webhooks to a real receiver. `test_chaos_at_length.py` does it for
minutes, with all that is shipped.
"""

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest

from sync_pipelines.runtime.waiting import wait_until
from tests.notify import parts
from tests.notify.killing import Installation, begun
from tests.notify.scene import Scene, check, staged

pytestmark = pytest.mark.processes


@pytest.fixture
def scene(empty_postgres_url, tmp_path) -> Iterator[Scene]:
    with staged(empty_postgres_url, tmp_path) as made:
        yield made


def test_every_outcome_is_told_once_whatever_is_killed(scene, capsys):
    starts = scene.settlers(2, per_second=15, seed=6)
    starts["dispatcher"] = partial(begun, partial(parts.dispatcher, scene.site))
    for number in "12":
        starts[f"deliverer {number}"] = partial(begun, partial(parts.deliverer, scene.site))

    with Installation() as installation:
        installation.add(starts)
        wait_until(lambda: len(scene.failed()) >= 20, seconds=30)
        installation.kill_at_random(Random(6), seconds=3, every=(0.1, 0.4))
        installation.stop("settler")
        parts.settle_dead(scene.told.catalog)
        assert wait_until(scene.is_over, seconds=60, every=0.2), "something is never told"

    check(scene, capsys, p99_seconds=20)
