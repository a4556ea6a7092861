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
    MSSQL = "mssql"
    ORACLE = "oracle"


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
    "mssql": Dialect.MSSQL,
    "mssql+pymssql": Dialect.MSSQL,
    "sqlserver": Dialect.MSSQL,
    "oracle": Dialect.ORACLE,
    "oracle+oracledb": Dialect.ORACLE,
}

PORTS = {Dialect.MYSQL: 3306, Dialect.MSSQL: 1433, Dialect.ORACLE: 1521}
"""Servers whose address is all that their URL says."""

SAFE = {Dialect.MYSQL: "verify", Dialect.MSSQL: "require", Dialect.ORACLE: "verify"}
"""The value of ``tls`` that insists on encryption; FreeTDS does not check certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is, taken apart.

    ``verified`` insists on TLS, with a certificate for the host where the driver can check it.
    """

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    verified: bool


class DatabaseConfig(BaseModel):
    """A database by its URL.

    ``postgresql://user:password@host:5432/database``, ``sqlite:////path/to/file.db``,
    ``duckdb:////path/to/file.duckdb``, ``mysql://user:password@host:3306/database?tls=verify``,
    ``mssql://user:password@host:1433/database?tls=require``,
    ``oracle://user:password@host:1521/service?tls=verify``; the last two to read from only.
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
        elif _SCHEMES[scheme] in PORTS:
            _address(text, _SCHEMES[scheme])
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
        """The server of a URL that is not PostgreSQL's; contains the password."""
        return _address(self.url.get_secret_value(), self.dialect)

    @property
    def path(self) -> str:
        """The file of a SQLite or DuckDB database."""
        return unquote(urlsplit(self.url.get_secret_value()).path)[1:]

    @property
    def redacted(self) -> str:
        """The URL without password and options, for people and logs."""
        if self.dialect in FILES:
            return f"{self.dialect}:///{self.path}"
        if self.dialect in PORTS:
            to = self.address
            return f"{self.dialect}://{to.user}@{to.host}:{to.port}/{to.database}"
        netloc, _, rest = self.conninfo.partition("://")[2].partition("/")
        user, at, host = netloc.rpartition("@")
        return f"postgresql://{user.partition(':')[0]}{at}{host}/{rest.partition('?')[0]}"


def _check_path(text: str, scheme: str) -> None:
    parts = urlsplit(text)
    if parts.netloc or not parts.path.startswith("//") or parts.path.rstrip("/") == "":
        raise ValueError(f"write an absolute path after {scheme}:///, as {scheme}:////data/file.db")
    if parts.query or parts.fragment:
        raise ValueError(f"a {scheme} URL takes no options; write ? as %3F and # as %23")


def _address(text: str, dialect: Dialect) -> Address:
    """Take a URL apart; what is wrong is said without quoting it, for it has a password."""
    parts = urlsplit(text)
    try:
        port = parts.port or PORTS[dialect]
    except ValueError:
        raise ValueError(
            "the port must be a number; percent-encode / and @ in a password"
        ) from None
    database = unquote(parts.path.removeprefix("/"))
    if not parts.hostname or not parts.username or not database or "/" in database:
        raise ValueError(f"write {dialect}://user:password@host:{PORTS[dialect]}/database")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = options.pop("tls", "prefer")
    options.pop("charset", None)  # a habit of other tools; here it is always utf8mb4
    if options or tls not in ("prefer", SAFE[dialect]):
        safe = SAFE[dialect]
        raise ValueError(f"a {dialect} URL takes one option: tls={safe}, or tls=prefer")
    return Address(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=database,
        verified=tls == SAFE[dialect],
    )
