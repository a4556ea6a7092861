"""Supabase read through its API: columns, keys, and what is refused."""

from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from connectors import registry
from connectors.contract import Batch, Encoding, Selection, Source, SyncMode
from connectors.errors import AuthError, ConfigError
from connectors.http.outside import Outside
from connectors.providers.supabase import SupabaseConfig, api_of
from connectors.testing.rows import at, rows_of
from tests.providers.supabase import Base, config


def read(source: Source, name: str, **how: Any) -> list[Batch]:
    selection = Selection(stream=source.stream(name), mode=SyncMode.FULL, **how)
    return list(source.read(selection, None, Encoding.ARROW))


def records(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    tables = [batch.data for batch in batches if isinstance(batch.data, pa.Table)]
    return [one for data in tables for one in data.to_pylist()]


def test_columns_come_as_the_database_has_them(api, project):
    """Law 7."""
    project.run("DROP TABLE orders")
    project.run(
        """CREATE TABLE orders (id bigint PRIMARY KEY, "Größe, in cm" numeric(12, 4), tags text[],
           meta jsonb, at timestamptz, day date, local timestamp, x double precision, ok boolean);
           INSERT INTO orders VALUES (9223372036854775807, 12345678.1230, '{a,b}', '{"a": 1.10}',
           '2026-03-01T12:00:00.123456+02', '2026-03-01', '2026-03-01 12:00', 0.1, true)"""
    )
    source = registry.get("supabase").open_source(config(api))

    [found] = records(read(source, "orders"))

    assert found["id"] == 2**63 - 1
    assert found["Größe, in cm"] == "12345678.1230"
    assert (found["tags"], found["meta"]) == ('["a","b"]', '{"a":1.10}')
    assert found["at"].isoformat() == "2026-03-01T10:00:00.123456+00:00"
    assert found["local"] == datetime(2026, 3, 1, 12)  # noqa: DTZ001
    assert (found["x"], found["ok"], found["day"].isoformat()) == (0.1, True, "2026-03-01")
    source.close()


def test_a_key_of_several_columns_is_read_page_by_page(api, postgres_url):
    system = Base(api, postgres_url, max_rows=2)
    system.project.run(
        """DROP TABLE orders; CREATE TABLE orders
             (shop text, "no." int, changed_at timestamptz, PRIMARY KEY (shop, "no."));
           INSERT INTO orders SELECT 'a"(,) ' || n % 3, n, now() FROM generate_series(1, 9) n"""
    )
    with closing(system.open()) as source:
        found = records(read(source, "orders"))

    assert sorted(one["no."] for one in found) == list(range(1, 10))


def test_a_table_without_a_key_is_read_whole(api, postgres_url):
    system = Base(api, postgres_url, max_rows=2)
    system.project.run("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    with system.project.connect() as connection:
        for number in range(5):
            connection.execute(
                "INSERT INTO orders VALUES (%s, %s, 'twin')", [number // 2, at(number)]
            )
    with closing(system.open()) as source:
        assert source.stream("orders").primary_key == ()
        found = records(read(source, "orders"))

    assert len(rows_of(found)) == 5


def test_a_schema_that_is_not_exposed_is_told(api, project):
    source = registry.get("supabase").open_source(config(api, expose="hidden"))

    with pytest.raises(ConfigError, match="must be one of"):
        source.check()
    source.close()


def test_a_wrong_key_is_told_without_showing_it(api, project):
    source = registry.get("supabase").open_source(config(api, key="sb_secret_wrong"))

    with pytest.raises(AuthError) as told:
        source.check()

    assert "sb_secret_wrong" not in str(told.value)
    source.close()


def test_a_key_of_the_old_kind_is_sent_as_a_token_too():
    old, new = (
        api_of(SupabaseConfig.model_validate({"url": "https://x.supabase.co", "key": key})).auth
        for key in ("eyJ.a.b", "sb_secret_x")
    )

    assert old.key != new.key  # type: ignore[attr-defined]
    assert [name for name, _ in _signed(old)] == ["apikey", "Authorization"]
    assert [name for name, _ in _signed(new)] == ["apikey"]


def _signed(auth: Any) -> Any:
    from connectors.http.call import Call

    return auth.signer(None, Outside()).sign(Call(path=""), "https://x").headers


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "https://x.supabase.co"}, "url and key"),
        ({"url": "x.supabase.co", "key": "k"}, "https://<ref>"),
        ({"database": "postgresql://u:p@x.pooler.supabase.com:6543/postgres"}, "5432"),
    ],
)
def test_a_configuration_that_cannot_work_is_told(given, told):
    with pytest.raises(ConfigError, match=told):
        registry.get("supabase").open_source(given)
