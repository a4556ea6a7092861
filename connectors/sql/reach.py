"""Where a database's URL leads: the hosts that libpq would ask, or a file."""

from urllib.parse import urlsplit

from connectors.errors import ConfigError
from connectors.reach import Reach
from connectors.sql.config import FILES, PORTS, DatabaseConfig

WHERE = ("host", "hostaddr")

HARMLESS = frozenset(
    {
        *("user", "password", "dbname", "port", "options", "application_name"),
        *("fallback_application_name", "client_encoding", "connect_timeout", "replication"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("tcp_user_timeout", "sslmode", "sslnegotiation", "sslcompression", "sslsni"),
        *("sslcertmode", "ssl_min_protocol_version", "ssl_max_protocol_version", "gssencmode"),
        *("channel_binding", "require_auth", "target_session_attrs", "load_balance_hosts"),
    }
)
"""Parameters that open nothing (libpq's list: PostgreSQL 18, 32.1.2)."""

OWN_SOCKET = "the socket of this machine's own server"


def reach(config: DatabaseConfig) -> Reach:
    """All hosts of a URL, and the files that it, or one of its options, names."""
    if config.dialect in PORTS:
        return Reach(hosts=(config.address.host,))
    if config.dialect in FILES:
        return Reach(files=(config.path,))
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        said = conninfo_to_dict(config.conninfo)
    except ProgrammingError as error:
        raise ConfigError("url: it cannot be read; write postgresql://user@host/name") from error
    hosts = [host for key in WHERE if said.get(key) for host in str(said[key]).split(",")]
    sockets = [host or OWN_SOCKET for host in hosts if not host or host[0] in "/@"]
    if not hosts:
        sockets.append(OWN_SOCKET)
    named = [host for host in hosts if host and host[0] not in "/@"]
    for key, value in said.items():
        if key in HARMLESS or key in WHERE or (key, value) == ("sslrootcert", "system"):
            continue
        asked = urlsplit(str(value)).hostname if "://" in str(value) else None
        if asked:
            named.append(asked)
        else:
            sockets.append(f"{key}={value}")
    return Reach(hosts=tuple(named), files=tuple(sockets))
