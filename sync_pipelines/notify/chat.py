"""Slack, PagerDuty, Teams and the many others that Apprise knows, by its URLs."""

import apprise

from sync_pipelines.model.notification import Severity, Topic
from sync_pipelines.notify.sending import DeliveryError, Outgoing
from sync_pipelines.notify.wording import worded

_KINDS = {
    Severity.INFO: apprise.NotifyType.INFO,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
}


class AppriseSender:
    """Sends by Apprise, which says only whether it worked."""

    def send(self, message: Outgoing) -> str:
        """Send title and text."""
        said = worded(message)
        kind = _KINDS[Severity(message.payload["severity"])]
        if message.topic is Topic.RECOVERED:
            kind = apprise.NotifyType.SUCCESS
        service = apprise.Apprise()
        if not service.add(message.rule.target):
            raise DeliveryError("Apprise does not know this URL any more", is_final=True)
        if not service.notify(title=said.subject, body=said.as_text(), notify_type=kind):
            raise DeliveryError("the service did not take it; Apprise does not say why")
        return "taken"
