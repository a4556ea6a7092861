"""Connectors that can play one role only, with a harmless and a secret option."""

from pydantic import BaseModel, ConfigDict, SecretStr

from connectors.contract import Destination, Source
from connectors.registry import Connector


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    region: str = "eu"
    token: SecretStr | None = None


def never_opened(_config: Config) -> "Source | Destination":
    raise AssertionError("a test of `apply` opens nothing")


WELL = Connector(name="well", title="Well", config=Config, source=never_opened)  # type: ignore[arg-type]
DRAIN = Connector(name="drain", title="Drain", config=Config, destination=never_opened)  # type: ignore[arg-type]
