"""R41, R43, R135: of every scheme, what is forged is refused and what is sent again counts once.

That every scheme of the table is among these is a test of `tests.connectors.test_webhooks`.
"""

from dataclasses import fields

import pytest
from sqlalchemy import func, select

from sync_pipelines.catalog.tables import DeliveryRow
from tests.connectors.signing import GENUINE
from tests.gateway.hooks import endpoint, events_of


@pytest.mark.parametrize("name", GENUINE)
def test_a_providers_request_counts_once_and_a_forged_one_never(client, world, name):
    scheme, received, secret, _ = GENUINE[name]
    tenant_id = world.sync().tenant_id
    options = {one.name: getattr(scheme, one.name) for one in fields(type(scheme))}  # type: ignore[arg-type]
    kind = {"scheme": name.partition(",")[0], "options": options}
    theirs = endpoint(world, "theirs", **kind, secret=f"{secret[:-9]}otherwise")
    mine = endpoint(world, "mine", **kind, secret=secret)

    def send(hook):
        headers = {key: value.encode() for key, value in received.headers.items()}
        answer = client.post(f"/webhooks/{hook.key}", content=received.body, headers=headers)
        return answer.status_code

    forged = send(theirs)
    after_forged = events_of(world, tenant_id)
    first = send(mine)
    told = events_of(world, tenant_id)
    again = send(mine)
    world.clock.advance(minutes=6)
    late = send(mine)

    with world.catalog.begin() as db:
        kept = db.scalar(select(func.count()).select_from(DeliveryRow))
    assert (forged, after_forged) == (401, [])
    assert (first, again) == (200, 200)
    assert late in (200, 401)  # 401 where the time is signed
    assert told
    assert {one.id for one in events_of(world, tenant_id)} == {one.id for one in told}
    assert kept == 1
