"""A gateway on a real catalog, with a clock that stands still."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from sync_pipelines.catalog import credentials
from sync_pipelines.catalog.sessions import open_session
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.users import make_user
from sync_pipelines.gateway.app import create_app
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.model.roles import Role
from sync_pipelines.model.sync import Sync
from sync_pipelines.settings import Settings
from tests.gateway.consent import Browser, put
from tests.gateway.dagster_double import dagster
from tests.gateway.people import token, user
from tests.gateway.scraping import LOCAL
from tests.gateway.served import served
from tests.providers.quickbooks import QuickBooks
from tests.world import FakeClock, World, make_catalog


@pytest.fixture(scope="module")
def one_catalog(postgres_url: str) -> Iterator[Catalog]:
    catalog = make_catalog(postgres_url)
    yield catalog
    catalog.close()


@pytest.fixture
def world(one_catalog: Catalog) -> World:
    """A catalog in which there is nothing."""
    with one_catalog.begin() as db:
        tables = db.scalars(
            text(
                "SELECT quote_ident(tablename) FROM pg_tables "
                "WHERE schemaname = 'sync' AND tablename <> 'alembic_version'"
            )
        )
        names = ", ".join(f"sync.{name}" for name in tables)
        db.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return World(one_catalog, FakeClock())


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 as cheap as it gets: most tests are about other things."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(credentials, "_hasher", lambda: hasher)
    credentials._nobodys.cache_clear()


@pytest.fixture
def launched() -> list[UUID]:
    """The executions that the gateway has asked to be launched."""
    return []


@pytest.fixture
def settings() -> Settings:
    return Settings(allow_private_addresses=False)


@pytest.fixture
def doors(world: World, launched: list[UUID], settings: Settings) -> Doors:
    def launch(execution_id: UUID) -> bool:
        launched.append(execution_id)
        return True

    return Doors(
        catalog=world.catalog,
        settings=settings,
        clock=world.clock,
        rng=Random(1),
        launch=launch,
        dagster_url=lambda: None,
    )


@pytest.fixture
def client(doors: Doors) -> Iterator[TestClient]:
    with TestClient(create_app(doors), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api(client: TestClient, world: World) -> TestClient:
    """A client with a token of an administrator of acme."""
    client.headers.update(token(world, "acme", Role.ADMIN))
    return client


@pytest.fixture
def acme(world: World) -> Sync:
    return world.sync("acme/orders")


@pytest.fixture(scope="session")
def upstream() -> Iterator[str]:
    """Where what stands in for Dagster's pages is served."""
    with served(dagster()) as address:
        yield f"{address}/dagster"


@pytest.fixture
def address(doors: Doors, upstream: str) -> Iterator[str]:
    """Where a gateway is served that has Dagster's pages behind it."""
    with served(create_app(replace(doors, dagster_url=lambda: upstream))) as address:
        yield address


@pytest.fixture
def astray(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says to ask a proxy, which is away."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")


@pytest.fixture
def boss(world: World) -> dict[str, str]:
    """The header of whoever runs the installation."""
    return token(world, None)


@pytest.fixture
def cookie(world: World) -> dict[str, str]:
    """The header of a browser in which whoever runs the installation is signed in."""
    with world.catalog.begin() as db:
        made = make_user(db, "boss@example.com", password_hash=None, now=world.clock())
        db.execute(text("UPDATE sync.users SET is_instance_admin = true"))
        opened = open_session(db, made.id, lasts=timedelta(hours=1), now=world.clock())
    return {"Cookie": f"sync_session={opened.secret}; other=1"}


@pytest.fixture
def company() -> Iterator[QuickBooks]:
    company = QuickBooks(lambda: datetime.now(UTC))
    with company.api:
        yield company


@pytest.fixture
def connection(world: World, company: QuickBooks) -> UUID:
    """A connection that nobody has let in yet."""
    config = company.config()
    del config["realm_id"], config["refresh_token"]
    return put(world, "acme", config)


@pytest.fixture
def ana(world: World, doors: Doors, connection: UUID) -> Browser:
    """Somebody who may let the connection in."""
    return Browser(doors, user(world, acme=Role.ADMIN))


@pytest.fixture
def app(doors: Doors) -> FastAPI:
    return create_app(doors)


@pytest.fixture
def here(app: FastAPI) -> Iterator[TestClient]:
    """A program on this machine."""
    with TestClient(app, base_url=LOCAL, client=("127.0.0.1", 5000)) as client:
        yield client
