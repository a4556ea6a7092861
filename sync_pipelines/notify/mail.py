"""Email: HTML and text from templates, sent by SMTP with TLS and a login.

Laws:

* A password is given only over TLS; a server that offers none gets none.
* ``Message-ID`` is made of the message's identity, so that one that arrives twice, after a
  crash, can be known for the same.
"""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from enum import StrEnum
from hashlib import sha256

from jinja2 import Environment, PackageLoader, select_autoescape

from connectors.errors import ConfigError
from sync_pipelines.model.notification import Severity, Topic
from sync_pipelines.notify.digest_wording import chart_of, worded_digest
from sync_pipelines.notify.sending import DeliveryError, Outgoing
from sync_pipelines.notify.wording import Worded, worded

TIMEOUT_SECONDS, GOODBYE_SECONDS = 20.0, 2.0

COLOURS = {Severity.INFO: "#15803d", Severity.WARNING: "#b45309", Severity.CRITICAL: "#b91c1c"}

CHART = "chart"
"""The chart's content id: by it the HTML finds the image inside the mail."""

_templates = Environment(
    loader=PackageLoader("sync_pipelines.notify"),
    autoescape=select_autoescape(["html"]),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class Security(StrEnum):
    """How the way to the mail server is kept private."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """Where mail goes out. ``sender`` is an address, with a name or without."""

    host: str
    port: int
    sender: str
    security: Security = Security.STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)

    def __post_init__(self) -> None:
        if "@" not in parseaddr(self.sender)[1]:
            raise ConfigError(f"mail cannot be sent from {self.sender!r}; name an address")
        if self.user and self.security is Security.NONE:
            raise ConfigError("mail is sent with a password only over TLS; set starttls or tls")


class MailSender:
    """Sends mail, each by a connection of its own."""

    def __init__(self, server: MailServer, *, clock: Callable[[], datetime]) -> None:
        self._server = server
        self._clock = clock

    def send(self, message: Outgoing) -> str:
        """Send it; the server's last word."""
        mail = composed(message, sender=self._server.sender, now=self._clock())
        try:
            smtp = self._connect()
            try:
                smtp.send_message(mail)
            finally:
                _leave(smtp)
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise _refused(code, said) from error
        except smtplib.SMTPDataError as error:
            raise _refused(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPResponseException as error:
            # What concerns us, such as our login or sender, may be mended within three days.
            raise _refused(error.smtp_code, error.smtp_error, may_pass=True) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(f"the mail server: {error}") from error
        return "accepted"

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        smtp: smtplib.SMTP
        if server.security is Security.TLS:
            smtp = smtplib.SMTP_SSL(
                server.host, server.port, timeout=TIMEOUT_SECONDS, context=server.context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
        try:
            if server.security is Security.STARTTLS:
                smtp.starttls(context=server.context)
            if server.user:
                smtp.login(server.user, server.password or "")
        except BaseException:  # nobody else has the connection to close
            smtp.close()
            raise
        return smtp


def composed(message: Outgoing, *, sender: str, now: datetime) -> EmailMessage:
    """The mail: headers, text, HTML, and a digest's chart."""
    is_digest = message.topic is Topic.DIGEST
    digest = worded_digest(message) if is_digest else None
    said = digest or worded(message)
    mail = EmailMessage()
    mail["Subject"] = " ".join(said.subject.split())[:200]
    mail["From"], mail["To"] = sender, message.recipient
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = _message_id(message, sender)
    mail["List-Unsubscribe"] = f"<{message.unsubscribe}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    mail["Auto-Submitted"] = "auto-generated"
    name = "digest" if is_digest else "mail"
    mail.set_content(_rendered("mail.txt", message, said))
    mail.add_alternative(_rendered(f"{name}.html", message, said), subtype="html")
    if digest is not None and digest.has_chart:
        html = mail.get_payload()[1]  # type: ignore[index]
        html.add_related(chart_of(message), "image", "png", cid=f"<{CHART}>")  # type: ignore[union-attr]
    return mail


def _leave(smtp: smtplib.SMTP) -> None:
    """Say goodbye; what was accepted before stays so, whatever comes of this."""
    if smtp.sock is not None:
        smtp.sock.settimeout(GOODBYE_SECONDS)
    with suppress(smtplib.SMTPException, OSError):
        smtp.quit()
    smtp.close()


def _rendered(template: str, message: Outgoing, said: Worded) -> str:
    return _templates.get_template(template).render(
        said=said,
        tenant=message.payload["tenant"],
        rule=message.rule.name,
        unsubscribe=message.unsubscribe,
        colour=COLOURS[said.severity],
        preview=said.facts[0][1],
        chart=f"cid:{CHART}",
    )


def _message_id(message: Outgoing, sender: str) -> str:
    whole = f"{message.rule.id} {message.event_id} {message.recipient}"
    domain = parseaddr(sender)[1].rpartition("@")[2]
    return f"<{sha256(whole.encode()).hexdigest()[:40]}@{domain}>"


def _refused(code: int, said: bytes | str, *, may_pass: bool = False) -> DeliveryError:
    """5yz is for good, 4yz is not (RFC 5321, 4.2.1)."""
    words = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return DeliveryError(
        f"the mail server: {code} {words}"[:300], is_final=code >= 500 and not may_pass
    )
