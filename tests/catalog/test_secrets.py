"""Secrets are sealed in the catalog, and their keys can be exchanged."""

import pytest
from sqlalchemy import select

from connectors.errors import ConfigError
from sync_pipelines.catalog import syncs
from sync_pipelines.catalog.secrets import SecretBox, add_key, load_keys, new_key
from sync_pipelines.catalog.store import open_catalog
from sync_pipelines.catalog.tables import ConnectionRow
from tests.world import World


def test_secrets_are_unreadable_in_the_table_and_opened_for_use(world):
    """R131, R132."""
    sync = world.sync(source={"url": "postgresql://u:hunter2@h/db"})

    with world.catalog.begin() as db:
        stored = db.execute(select(ConnectionRow.config, ConnectionRow.secrets)).all()

    assert "hunter2" not in str(stored)
    assert sync.source.config["url"] == "postgresql://u:hunter2@h/db"
    assert "hunter2" not in repr(sync)


def test_rotation_re_encrypts_every_secret_and_frees_the_old_key(empty_postgres_url):
    """R131."""
    old, new = new_key(), new_key()
    world = World(open_catalog(empty_postgres_url, SecretBox((old,))))
    world.sync(source={"url": "s3cret"})
    both = SecretBox((new, old))

    with world.catalog.begin() as db:
        rotated = syncs.rotate_secrets_for_all_tenants(db, both)
        found = syncs.find_sync(db, SecretBox((new,)), "acme/orders")
        with pytest.raises(ConfigError, match="old key"):
            syncs.find_sync(db, SecretBox((old,)), "acme/orders")

    world.catalog.close()
    assert rotated == 2
    assert found.source.config["url"] == "s3cret"


def test_a_process_that_lives_through_a_rotation_learns_the_new_key():
    old, new = new_key(), new_key()
    keys: list[tuple[str, ...]] = [(old,)]
    living = SecretBox(keys[0], reload=lambda: keys[-1])

    keys.append((new, old))
    opened = living.open(SecretBox((new,)).seal({"url": "x"}))

    assert opened == {"url": "x"}


def test_the_key_file_is_for_its_owner_only_and_survives_a_second_start(tmp_path):
    home = tmp_path / "home"

    first, second = load_keys(home, None), load_keys(home, None)
    rotated = add_key(home)

    assert first == second
    assert rotated[1:] == first
    assert load_keys(home, None) == rotated
    assert (home / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["secret.key"]


def test_a_key_that_is_no_key_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match="SYNC_SECRET_KEY"):
        SecretBox(("secret",))
