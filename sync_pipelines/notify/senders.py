"""The channels of an installation, as its settings have them."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

from connectors.errors import ConfigError
from sync_pipelines.clock import Clock
from sync_pipelines.model.notification import Channel
from sync_pipelines.notify.chat import AppriseSender
from sync_pipelines.notify.mail import MailSender, MailServer, Security
from sync_pipelines.notify.sending import DeliveryError, Outgoing, Sender, Senders
from sync_pipelines.notify.webhook import WebhookSender
from sync_pipelines.settings import Settings

KINDS = {
    "smtp": (Security.STARTTLS, 587),
    "smtps": (Security.TLS, 465),
    "smtp+plain": (Security.NONE, 25),
}


@contextmanager
def senders_of(
    settings: Settings, *, clock: Clock, base_url: str | None = None
) -> Iterator[Senders]:
    """The channels, for as long as they are wanted. `ConfigError` if a setting is wrong.

    ``base_url`` is where the gateway listens; where people reach it, if that is set.
    """
    here = f"http://{settings.gateway_host}:{settings.gateway_port}"
    base = str(settings.public_url or base_url or here).rstrip("/")
    webhooks = WebhookSender(clock=clock, allow_private=settings.may_reach_private)
    mail: Sender = NoMail()
    if settings.smtp_url is not None:
        server = mail_server(settings.smtp_url.get_secret_value(), sender=settings.mail_from)
        mail = MailSender(server, clock=clock)
    try:
        yield Senders(
            by_channel={
                Channel.EMAIL: mail,
                Channel.WEBHOOK: webhooks,
                Channel.APPRISE: AppriseSender(allow_private=settings.may_reach_private),
            },
            base_url=base,
        )
    finally:
        webhooks.close()


def mail_server(url: str, *, sender: str) -> MailServer:
    """The mail server of a URL such as ``smtp://user:password@host:587``."""
    parts = urlsplit(url)
    if parts.scheme not in KINDS or not parts.hostname:
        raise ConfigError(
            "SYNC_SMTP_URL looks like smtp://user:password@host:587 (STARTTLS) or "
            "smtps://user:password@host:465; smtp+plain:// is without TLS"
        )
    security, usual_port = KINDS[parts.scheme]
    return MailServer(
        host=parts.hostname,
        port=parts.port or usual_port,
        sender=sender,
        security=security,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


class NoMail:
    """Stands for a mail server that nobody has set; what should go out waits for one."""

    def send(self, message: Outgoing) -> str:
        """Never."""
        raise DeliveryError("no mail server is set; SYNC_SMTP_URL names one")
