"""Where a tenant's connection may lead: not to this machine, nor into networks behind it.

Laws:

* Who is no instance admin names only hosts whose every address is public, and only files
  under ``SYNC_TENANT_FILES/TENANT``. What cannot be looked up cannot be judged, and is
  refused.
* It is judged when it is saved, and what was judged so is looked at again whenever it is
  opened: see `engine.surroundings`. What an instance admin has saved may lead inside.
"""

from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from connectors import registry
from connectors.addresses import Lookup, addresses_of
from connectors.reach import Reach
from sync_pipelines.apply.manifest import WantedConnection
from sync_pipelines.gateway.doors import Doors
from sync_pipelines.gateway.identity import Caller
from sync_pipelines.gateway.problems import FieldError, ProblemError
from sync_pipelines.model.sync import Connection
from sync_pipelines.settings import Settings


def reaching(
    wanted: WantedConnection, held: Connection | None, *, caller: Caller, doors: Doors
) -> WantedConnection:
    """The same, with how far it may reach; ends the request with 422 if that is not far enough.

    What it led to before, as ``held``, it may lead to still.
    """
    if caller.identity.is_instance_admin:
        return replace(wanted, reaches_private=True)
    connector = registry.get(wanted.connector)
    reach = connector.reached({**wanted.config, **wanted.secrets})
    if held is not None and connector.reached(held.config) == reach:
        return replace(wanted, reaches_private=held.reaches_private)
    refusals = list(refused(reach, doors.settings, tenant=caller.tenant.name))
    if refusals:
        errors = [FieldError(field="body.config", message=one) for one in refusals]
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(refusals), errors=errors)
    return replace(wanted, reaches_private=doors.settings.may_reach_private)


def refused(
    reach: Reach, settings: Settings, *, tenant: str, lookup: Lookup = addresses_of
) -> Iterator[str]:
    """Why a tenant may not go there, for each place where it may not."""
    for file in reach.files:
        if not _is_own(file, settings.tenant_files, tenant):
            yield (
                f"config names {file!r} of the machine that syncs run on, which only an instance "
                "admin may do; name a database on a server"
            )
    if settings.may_reach_private:
        return
    for host in reach.unknown(lookup):
        yield f"config names host {host!r}, which has no address; check its spelling"
    for host in reach.inside(lookup):
        yield (
            f"config names host {host!r}, which is not on the public network; only an "
            "instance admin may name one that is not"
        )


def _is_own(file: str, allowed: Path | None, tenant: str) -> bool:
    if allowed is None or not file.startswith("/"):
        return False
    own = (allowed / tenant).resolve()
    return Path(file).resolve().is_relative_to(own)
