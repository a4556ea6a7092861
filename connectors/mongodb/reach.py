"""Where a MongoDB URL leads: its hosts, those that DNS names for it, and what its options open.

What servers say of each other is not in it: a driver connects to every member that a
replica set names.
"""

from urllib.parse import parse_qsl

from connectors.errors import ConfigError
from connectors.mongodb.config import MongoConfig
from connectors.reach import Reach, hosts_of

HARMLESS = frozenset(
    name.lower()
    for name in (
        *("replicaSet", "authSource", "authMechanism", "directConnection", "appName", "ssl", "tls"),
        *("retryReads", "retryWrites", "readPreference", "readConcernLevel", "w", "wTimeoutMS"),
        *("journal", "maxStalenessSeconds", "readPreferenceTags", "compressors", "loadBalanced"),
        *("connectTimeoutMS", "socketTimeoutMS", "serverSelectionTimeoutMS", "timeoutMS"),
        *("maxPoolSize", "minPoolSize", "maxIdleTimeMS", "waitQueueTimeoutMS", "localThresholdMS"),
        *("heartbeatFrequencyMS", "zlibCompressionLevel", "uuidRepresentation", "srvMaxHosts"),
    )
)
"""Options that open nothing. Those of certificates name files of this machine."""

HARMLESS_MECHANISMS = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-CR", "PLAIN"})
"""The others would take the machine's own identity, or ask a cloud for it."""


def reach(config: MongoConfig) -> Reach:
    """The hosts; of ``mongodb+srv`` those that it stands for now, which DNS is asked for."""
    url = config.url.get_secret_value()
    opened = []
    for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name.lower() not in HARMLESS or (
            name.lower() == "authmechanism" and value.upper() not in HARMLESS_MECHANISMS
        ):
            opened.append(f"{name}={value}")
    return Reach(hosts=_hosts(url), files=tuple(opened))


def _hosts(url: str) -> tuple[str, ...]:
    hosts = hosts_of(url)
    if not url.startswith("mongodb+srv://"):
        return hosts
    from pymongo.errors import PyMongoError
    from pymongo.synchronous.uri_parser import parse_uri

    try:
        members = parse_uri(url)["nodelist"]
    except PyMongoError as error:
        raise ConfigError("url: DNS does not say which servers it stands for") from error
    return tuple(sorted(str(host) for host, _ in members))
