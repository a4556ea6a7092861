"""What of a configuration is encrypted."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Secret, SecretBytes, SecretStr

from sync_pipelines.apply.secret_fields import split_config


class Login(BaseModel):
    user: str
    password: SecretStr


class Place(BaseModel):
    city: str


class Config(BaseModel):
    model_config = ConfigDict(extra="allow")

    host: str = Field(alias="hostName")
    place: Place
    key: SecretBytes
    token: SecretStr | None = None
    signed: Annotated[SecretStr, Field(min_length=1)]
    headers: dict[str, SecretStr]
    logins: list[Login]
    born: Secret[date]


def test_a_secret_anywhere_within_a_field_makes_all_of_it_secret() -> None:
    harmless = ("host", "hostName", "place")
    secret = ("key", "token", "signed", "headers", "logins", "born")
    values = dict.fromkeys((*harmless, *secret), "x")

    shown, secrets = split_config(Config, values)

    assert tuple(shown) == harmless
    assert tuple(secrets) == secret


def test_what_the_connector_does_not_know_is_taken_for_a_secret() -> None:
    shown, secrets = split_config(Config, {"api_key": "x"})

    assert (dict(shown), dict(secrets)) == ({}, {"api_key": "x"})
