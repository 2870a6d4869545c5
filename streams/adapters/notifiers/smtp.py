"""E-mail as a notifier, through the standard library, in a thread: one connection for each message, for there
are few.
"""

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import make_msgid

from schemas.settings import SmtpSettings
from streams.adapters.notifiers.one_way import OneWay
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message

_TIMEOUT_S = 15.0


class Smtp(OneWay):
    """A `Notifier` that sends e-mail."""

    def __init__(self, server: SmtpSettings) -> None:
        """Does no I/O. Raises Misconfigured."""
        if not server.host or not server.sender or not server.to:
            raise Misconfigured("ntfy.fallback.smtp needs host, sender and to.")
        if server.encryption == "none" and server.host not in {"localhost", "127.0.0.1", "::1"}:
            raise Misconfigured(
                "ntfy.fallback.smtp.encryption: none is for a mail server on this machine; use starttls or tls."
            )
        if bool(server.username) != (server.password is not None):
            raise Misconfigured("ntfy.fallback.smtp.username and ntfy.fallback.smtp.password belong together.")
        super().__init__("smtp", ",".join(server.to))
        self._server = server

    async def send(self, message: Message) -> None:
        """See `Notifier`."""
        await asyncio.to_thread(self._send, self._mail(message))

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.title.split())
        mail["From"], mail["To"] = self._server.sender, ", ".join(self._server.to)
        mail["Message-ID"] = make_msgid(message.sequence_id, domain="iv3.invalid")
        mail["X-Priority"] = "1" if message.priority >= 4 else "3"
        mail.set_content(message.body or message.title)
        return mail

    def _send(self, mail: EmailMessage) -> None:
        server = self._server
        whom = f"the mail server {server.host}"
        try:
            with self._connected() as link:
                if server.password is not None:
                    link.login(server.username, server.password.get_secret_value())
                refused = link.send_message(mail)
        except smtplib.SMTPAuthenticationError:
            problem = "the log-in: check ntfy.fallback.smtp.username and its password."
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
            problem = f"the sender or all recipients ({type(error).__name__}): check ntfy.fallback.smtp."
        except (smtplib.SMTPException, OSError) as error:
            # The library's own errors carry what was said, addresses and all.
            said = f"{whom} did not take the message ({type(error).__name__}); it is asked again later."
            raise NotifierUnreachable(said) from None
        else:
            problem = f"{len(refused)} of {len(server.to)} recipients: check ntfy.fallback.smtp.to." if refused else ""
        if problem:
            raise NotifierRefused(f"{whom} refuses {problem}", final=False)

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.encryption == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        link = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
        if server.encryption == "starttls":
            link.starttls(context=ssl.create_default_context())
        return link

    async def close(self) -> None:
        """Nothing is open."""
