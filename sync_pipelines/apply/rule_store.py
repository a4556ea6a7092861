"""Stores the rules of a plan, once it is known that what they send to may be reached.

Laws: a webhook has a signing secret from the first on, and keeps it. Its host is looked up while
nobody holds the tenant: a name server may take its time.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random, SystemRandom
from uuid import UUID, uuid4

import httpcore
from sqlalchemy import Connection as Db

from connectors.errors import ConfigError
from connectors.http.addresses import Resolve, system_resolve
from sync_pipelines.apply.changes import Plan, PutRule
from sync_pipelines.apply.current import Current
from sync_pipelines.apply.problems import ManifestError, Problem, redacted
from sync_pipelines.apply.rules import made_rule
from sync_pipelines.catalog.notifications import put_rule
from sync_pipelines.catalog.secrets import SecretBox
from sync_pipelines.model.notification import Channel, Rule
from sync_pipelines.notify.targets import check_rule, check_webhook, new_signing_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where webhooks may lead to, how names are looked up, and what secrets are made of."""

    allow_private: bool = False
    resolve: Resolve = system_resolve
    rng: Random = field(default_factory=SystemRandom)


class NotLookedUpError(Exception):
    """Hosts of these webhooks are not known yet; whoever holds the tenant lets it go for them."""

    def __init__(self, urls: Iterable[str]) -> None:
        self.urls = tuple(urls)
        super().__init__(f"{len(self.urls)} webhooks are to be looked up")


class Hosts:
    """What the hosts of webhooks lead to, each looked up once."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self._urls: set[str] = set()
        self._found: dict[tuple[str, int], Sequence[str] | httpcore.ConnectError] = {}

    def check_known(self, plan: Plan) -> None:
        """Raise `NotLookedUpError` unless all are known that a plan sends to anew."""
        puts = [one.put for one in plan.changes if isinstance(one.put, PutRule)]
        urls = {one.url for one in puts if one.url and one.wanted.channel is Channel.WEBHOOK}
        if not urls <= self._urls:
            raise NotLookedUpError(urls - self._urls)

    def look_up(self, urls: Iterable[str]) -> None:
        """Know these from now on, or that there is nothing."""
        for url in urls:
            self._urls.add(url)
            with suppress(ConfigError):  # told with the rule's line, when it is to be stored
                check_webhook(url, allow_private=self.reach.allow_private, resolve=self.resolve)

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """As `Reach.resolve`, which is asked once."""
        where = host, port
        if where not in self._found:
            try:
                self._found[where] = self.reach.resolve(host, port)
            except httpcore.ConnectError as error:
                self._found[where] = error
        found = self._found[where]
        if isinstance(found, httpcore.ConnectError):
            raise found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStore:
    """Stores rules of one tenant, of one file; ids of syncs and schedules by their names."""

    secrets: SecretBox
    file: str
    hosts: Hosts
    current: Current
    now: datetime

    def put(
        self,
        db: Db,
        put: PutRule,
        *,
        tenant_id: UUID,
        syncs: Mapping[str, UUID],
        schedules: Mapping[str, UUID],
    ) -> None:
        """Store one; `ManifestError` with its line if it may not send there."""
        wanted, held = put.wanted, self.current.rule(put.wanted.name)
        rule = replace(
            made_rule(wanted, url=put.url),
            id=uuid4() if held is None else held.rule.id,
            tenant_id=tenant_id,
            sync_id=syncs[wanted.sync] if wanted.sync else None,
            schedule_id=schedules[wanted.schedule] if wanted.schedule else None,
            is_active=put.is_active,
            paused=put.paused,
        )
        try:
            checked = check_rule(
                rule,
                allow_private=self.hosts.reach.allow_private,
                resolve=self.hosts.resolve,
            )
        except ConfigError as error:
            line = wanted.lines.get("url", wanted.line)
            problem = Problem(line=line, message=redacted(str(error), wanted.hidden))
            raise ManifestError(self.file, [problem]) from error
        put_rule(db, self.secrets, self._signed(checked, held.rule if held else None), now=self.now)

    def _signed(self, rule: Rule, held: Rule | None) -> Rule:
        """With the secrets and the unsubscribed that there are."""
        if held is not None:
            signing = held.signing if rule.channel is Channel.WEBHOOK else ()
            rule = replace(rule, unsubscribed=held.unsubscribed, signing=signing)
        if rule.channel is Channel.WEBHOOK and not rule.signing:
            rule = replace(rule, signing=(new_signing_secret(self.hosts.reach.rng),))
        return rule
