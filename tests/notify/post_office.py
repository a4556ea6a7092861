"""A real mail server with TLS, a login and mailboxes, and a look into them."""

import imaplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from sync_pipelines.notify.mail import MailServer, Security
from tests.notify.receiver import self_signed
from tests.servers import install
from tests.servers.running import free_port, started

USER, PASSWORD = "mailer@example.com", "a password of tests"


@dataclass(frozen=True)
class PostOffice:
    smtp_port: int
    smtps_port: int
    imap_port: int
    context: ssl.SSLContext

    def server(self, security: Security = Security.STARTTLS, **fields: object) -> MailServer:
        port = self.smtps_port if security is Security.TLS else self.smtp_port
        values = {
            "host": "localhost",
            "port": port,
            "sender": "Sync Pipelines <sync@example.com>",
            "security": security,
            "user": USER,
            "password": PASSWORD,
            "context": self.context,
            **fields,
        }
        return MailServer(**values)  # type: ignore[arg-type]

    def mails_of(self, address: str) -> list[EmailMessage]:
        """What is in a mailbox, oldest first."""
        with imaplib.IMAP4("localhost", self.imap_port, timeout=10) as imap:
            imap.login(address, PASSWORD)
            imap.select("INBOX")
            _, numbers = imap.search(None, "ALL")
            found = []
            for number in numbers[0].split():
                _, parts = imap.fetch(number, "(RFC822)")
                found.append(message_from_bytes(bytes(parts[0][1]), policy=policy.default))
            return found


@contextmanager
def post_office(directory: Path) -> Iterator[PostOffice]:
    certificate, key = self_signed(directory)
    program = install.command("mail_devel")
    smtps_port, imap_port = free_port(), free_port()

    def command(port: int) -> list[str | Path]:
        login = ["--user", USER, "--password", PASSWORD, "--multi-user"]
        ports = ["--smtps-port", str(smtps_port), "--imap-port", str(imap_port), "--no-http"]
        files: list[str | Path] = ["--cert", certificate, "--key", key]
        wanted = ["--auth-required"]
        at = ["--host", "localhost", "--smtp-port", str(port)]
        return [program, *at, *ports, *login, *files, *wanted]

    with started(command) as port:
        yield PostOffice(
            smtp_port=port,
            smtps_port=smtps_port,
            imap_port=imap_port,
            context=ssl.create_default_context(cafile=str(certificate)),
        )
