"""Connections to SQL Server and Oracle: URLs, drivers, and errors told by what helps."""

import subprocess
import sys

import pytest
import sqlalchemy as sa

from connectors import registry
from connectors.errors import AuthError, ConfigError, ConnectorError, TransientError
from connectors.sql.config import DatabaseConfig
from connectors.sql.core.session import CoreSession
from tests.connectors.sql_compiled.servers import SERVERS, URLS


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_is_known_by_its_url_without_its_password(server):
    config = DatabaseConfig.model_validate({"url": URLS[server]})
    url, arguments = SERVERS[server][0].engine(config)

    assert "s3cret" not in config.redacted
    assert url.get_dialect().__name__.endswith(("pymssql", "oracledb"))
    assert (url.host, url.port) == ("db.example", {"mssql": 1433, "oracle": 1521}[server])
    insists = {"encryption": "require"} if server == "mssql" else {"protocol": "tcps"}
    assert insists.items() <= arguments.items()


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_of_this_kind_is_not_written_to(server):
    destination = registry.get("database").open_destination({"url": URLS[server]})

    with pytest.raises(ConfigError, match="read from and not written to"):
        destination.check()


@pytest.mark.parametrize(("server", "missing"), [("mssql", "pymssql"), ("oracle", "oracledb")])
def test_without_its_driver_it_says_what_to_install(server, missing):
    program = f"""
import sys
sys.modules[{missing!r}] = None
from connectors import registry
from connectors.errors import ConfigError
source = registry.get("database").open_source({{"url": {URLS[server]!r}}})
try:
    source.check()
except ConfigError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )

    assert f"needs the package {missing}; install sync-pipelines[{server}]" in done.stdout


@pytest.mark.parametrize(
    ("server", "said", "expected"),
    [
        ("mssql", "(18456, b'Login failed for user')", AuthError),
        ("mssql", "(1205, b'Transaction was deadlocked')", TransientError),
        ("mssql", "(20009, b'DB-Lib error message 20009, severity 9')", TransientError),
        ("mssql", "(208, b'Invalid object name')", ConfigError),
        ("oracle", "ORA-01017: invalid credential", AuthError),
        ("oracle", "DPY-6005: cannot connect to database. ORA-1", TransientError),
        ("oracle", "ORA-01555: snapshot too old", TransientError),
        ("oracle", "ORA-00942: table or view does not exist", ConfigError),
    ],
)
def test_an_error_is_told_by_what_helps(server, said, expected):
    config = DatabaseConfig.model_validate({"url": URLS[server]})
    session = CoreSession(config, SERVERS[server][0])
    raised = sa.exc.DBAPIError("SELECT secret", {"x": "secret"}, Exception(said))

    with pytest.raises(ConnectorError) as told, session.translated("reading"):
        raise raised

    assert type(told.value) is expected
    assert "secret" not in str(told.value).replace("s3cret", "")
