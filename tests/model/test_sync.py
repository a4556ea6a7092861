import pytest

from sync_pipelines.model.sync import SyncStream


@pytest.mark.parametrize(
    ("stream", "table"),
    [
        ("orders", "orders"),
        ("public.orders", "orders"),
        ('"my.odd"."ta.ble"', "ta.ble"),
        ('public."say ""hi"""', 'say "hi"'),
    ],
)
def test_a_destination_table_is_named_after_its_stream(stream, table):
    assert SyncStream(name=stream).table_name == table


def test_a_tenant_may_name_the_table():
    assert SyncStream(name="public.orders", table="all_orders").table_name == "all_orders"
