"""The configuration of a MongoDB connection.

Law: the URL is a secret as a whole. What may be shown is `MongoConfig.redacted`.
"""

import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from connectors.mongodb.kinds import Kind


class Reading(StrEnum):
    """How what is new is found: by a field that grows, or by the server's change stream."""

    CURSOR = "cursor"
    CHANGES = "changes"


class MongoConfig(BaseModel):
    """One database of a deployment.

    ``url`` is ``mongodb://user:password@host:27017/?replicaSet=rs0`` or ``mongodb+srv://…``.
    ``fields`` declares, for a collection, what fields hold; the others are found by looking
    at ``sample_documents``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: SecretStr
    database: str = Field(min_length=1)
    reading: Reading = Reading.CURSOR
    fields: dict[str, dict[str, Kind]] = Field(default_factory=dict)
    sample_documents: int = Field(default=1000, ge=1, le=100_000)
    connect_timeout_seconds: int = Field(default=10, ge=1, le=300)
    statement_timeout_seconds: int | None = Field(default=None, ge=1)

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("a URL must start with mongodb:// or mongodb+srv://")
        return url

    @property
    def redacted(self) -> str:
        """Hosts and database, for people and logs."""
        place = re.split("[/?#]", self.url.get_secret_value().partition("://")[2], maxsplit=1)[0]
        hosts = place.rpartition("@")[2]
        return f"mongodb://{hosts}/{self.database}"
