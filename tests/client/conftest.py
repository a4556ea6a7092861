"""The gateway's own fixtures: the client is tried out on one that listens."""

from tests.gateway.conftest import (  # noqa: F401 - fixtures
    cheap_passwords,
    doors,
    launched,
    one_catalog,
    settings,
    world,
)
