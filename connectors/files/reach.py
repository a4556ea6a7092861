"""Where a place with files is: on this machine, on a host, or at a cloud's own address.

Law: a store of a cloud that is given no credentials would take this machine's own, and so
leads to this machine.
"""

import json

from connectors.files.config import FilesConfig, Scheme
from connectors.reach import Reach, hosts_of

OWN_CREDENTIALS = "the credentials of this machine"


def reach(config: FilesConfig) -> Reach:
    """A directory, a host, or an endpoint; a bucket's name is no host."""
    if config.scheme is Scheme.FILE:
        return Reach(files=(config.root,))
    if config.scheme is Scheme.SFTP:
        return Reach(hosts=hosts_of(config.url))
    endpoint = () if config.endpoint is None else hosts_of(config.endpoint)
    has_own = all(_credentials(config))
    return Reach(
        hosts=(*endpoint, *_hosts_of_account(config)), files=() if has_own else (OWN_CREDENTIALS,)
    )


def _credentials(config: FilesConfig) -> tuple[object, ...]:
    if config.scheme is Scheme.S3:
        return config.access_key_id, config.secret_access_key
    if config.scheme is Scheme.GS:
        return (config.service_account,)
    return config.account, config.account_key or config.sas_token


def _hosts_of_account(config: FilesConfig) -> tuple[str, ...]:
    """A service account names places of its own to ask, for tokens and for the store itself."""
    if config.service_account is None:
        return ()
    try:
        said = json.loads(config.service_account.get_secret_value())
    except ValueError:
        return ()
    values = said.values() if isinstance(said, dict) else ()
    urls = [value for value in values if isinstance(value, str) and "://" in value]
    return tuple(host for url in urls for host in hosts_of(url))
