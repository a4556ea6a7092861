"""Slack, PagerDuty, Teams and the many others that Apprise knows, by its URLs.

Laws:

* What a URL asks of Apprise besides a target (to wait for long, to follow redirects, to
  trust any certificate) is not heeded.
* What a message says is text. None of it becomes markup of the service.
"""

import apprise

from connectors.errors import ConfigError
from sync_pipelines.model.notification import Severity, Topic
from sync_pipelines.notify.sending import DeliveryError, Outgoing
from sync_pipelines.notify.targets import check_apprise
from sync_pipelines.notify.wording import worded

TIMEOUT_SECONDS = 10.0
WHOLE_SECONDS = 20.0

_KINDS = {
    Severity.INFO: apprise.NotifyType.INFO,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
}


class AppriseSender:
    """Sends by Apprise, which says only whether it worked."""

    def __init__(self, *, allow_private: bool = False) -> None:
        """``allow_private`` lets services be inside this network."""
        self._allow_private = allow_private
        # Without masks: services would fetch Apprise's own pictures for our messages.
        self._asset = apprise.AppriseAsset(
            app_id="Sync Pipelines",
            app_desc="Sync Pipelines",
            image_url_mask="",
            image_url_logo="",
            service_timeout=WHOLE_SECONDS,
        )

    def send(self, message: Outgoing) -> str:
        """Send title and text."""
        said = worded(message)
        kind = _KINDS[Severity(message.payload["severity"])]
        if message.topic is Topic.RECOVERED:
            kind = apprise.NotifyType.SUCCESS
        service = self._service(message.rule.target)
        is_taken = service.notify(
            title=said.subject,
            body=said.as_text(),
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not is_taken:
            raise DeliveryError("the service did not take it; Apprise does not say why")
        return "taken"

    def _service(self, url: str) -> apprise.Apprise:
        try:
            check_apprise(url, allow_private=self._allow_private)
        except ConfigError as error:  # it was stored when it still was allowed
            raise DeliveryError(str(error), is_final=True) from error
        service = apprise.Apprise(asset=self._asset)
        service.add(url)
        for one in service:
            one.redirects, one.verify_certificate = False, True
            one.socket_connect_timeout = one.socket_read_timeout = TIMEOUT_SECONDS
        return service
