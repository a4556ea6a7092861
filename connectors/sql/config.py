"""The configuration of a database connection: a URL, and how long to wait.

Law: the URL is a secret as a whole. What may be shown is `DatabaseConfig.redacted`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class Dialect(StrEnum):
    """The databases we speak to."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"
    DUCKDB = "duckdb"
    MYSQL = "mysql"


FILES = frozenset({Dialect.SQLITE, Dialect.DUCKDB})

_SCHEMES = {
    "postgresql": Dialect.POSTGRESQL,
    "postgres": Dialect.POSTGRESQL,
    "postgresql+psycopg": Dialect.POSTGRESQL,
    "postgresql+psycopg2": Dialect.POSTGRESQL,
    "sqlite": Dialect.SQLITE,
    "duckdb": Dialect.DUCKDB,
    "mysql": Dialect.MYSQL,
    "mysql+pymysql": Dialect.MYSQL,
    "mariadb": Dialect.MYSQL,
    "mariadb+pymysql": Dialect.MYSQL,
}

MYSQL_PORT = 3306


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is, taken apart. ``verified`` asks for TLS with a certificate for the host."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    verified: bool


class DatabaseConfig(BaseModel):
    """A database by its URL.

    ``postgresql://user:password@host:5432/database``, ``sqlite:////path/to/file.db``,
    ``duckdb:////path/to/file.duckdb``, ``mysql://user:password@host:3306/database?tls=verify``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: SecretStr
    connect_timeout_seconds: int = Field(default=10, ge=1, le=300)
    statement_timeout_seconds: int | None = Field(default=None, ge=1)

    @field_validator("url")
    @classmethod
    def _known_url(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        scheme = text.partition("://")[0].lower()
        if "://" not in text or scheme not in _SCHEMES:
            shown = scheme if "://" in text else "nothing"
            known = ", ".join(f"{dialect}://" for dialect in Dialect)
            raise ValueError(f"a URL must start with one of {known}; it starts with {shown}")
        if _SCHEMES[scheme] in FILES:
            _check_path(text, scheme)
        elif _SCHEMES[scheme] is Dialect.MYSQL:
            _address(text)
        return url

    @property
    def dialect(self) -> Dialect:
        """Which database this is."""
        return _SCHEMES[self.url.get_secret_value().partition("://")[0].lower()]

    @property
    def conninfo(self) -> str:
        """The URL as libpq takes it; contains the password."""
        return "postgresql://" + self.url.get_secret_value().partition("://")[2]

    @property
    def address(self) -> Address:
        """The server of a MySQL URL; contains the password."""
        return _address(self.url.get_secret_value())

    @property
    def path(self) -> str:
        """The file of a SQLite or DuckDB database."""
        return unquote(urlsplit(self.url.get_secret_value()).path)[1:]

    @property
    def redacted(self) -> str:
        """The URL without password and options, for people and logs."""
        if self.dialect in FILES:
            return f"{self.dialect}:///{self.path}"
        if self.dialect is Dialect.MYSQL:
            to = self.address
            return f"mysql://{to.user}@{to.host}:{to.port}/{to.database}"
        netloc, _, rest = self.conninfo.partition("://")[2].partition("/")
        user, at, host = netloc.rpartition("@")
        return f"postgresql://{user.partition(':')[0]}{at}{host}/{rest.partition('?')[0]}"


def _check_path(text: str, scheme: str) -> None:
    parts = urlsplit(text)
    if parts.netloc or not parts.path.startswith("//") or parts.path.rstrip("/") == "":
        raise ValueError(f"write an absolute path after {scheme}:///, as {scheme}:////data/file.db")
    if parts.query or parts.fragment:
        raise ValueError(f"a {scheme} URL takes no options; write ? as %3F and # as %23")


def _address(text: str) -> Address:
    """Take a URL apart; what is wrong is said without quoting it, for it has a password."""
    parts = urlsplit(text)
    try:
        port = parts.port or MYSQL_PORT
    except ValueError:
        raise ValueError(
            "the port must be a number; percent-encode / and @ in a password"
        ) from None
    database = unquote(parts.path.removeprefix("/"))
    if not parts.hostname or not parts.username or not database or "/" in database:
        raise ValueError("write mysql://user:password@host:3306/database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = options.pop("tls", "prefer")
    options.pop("charset", None)  # a habit of other tools; here it is always utf8mb4
    if options or tls not in ("prefer", "verify"):
        raise ValueError("a mysql URL takes one option: tls=verify, or tls=prefer")
    return Address(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=database,
        verified=tls == "verify",
    )
