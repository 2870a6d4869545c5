"""E-mail as a notifier, through the standard library, in a thread: one connection for each message, for there
are few.
"""

import asyncio
import hashlib
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import make_msgid

from pydantic import SecretStr

from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.ports.notifier import Message

_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class SmtpServer:
    """How the mail server is reached. `encryption`: starttls, tls, or none for a server on this machine."""

    host: str
    port: int
    sender: str
    to: tuple[str, ...]
    username: str = ""
    password: SecretStr | None = None
    encryption: str = "starttls"


class Smtp:
    """A `Notifier` that sends e-mail."""

    def __init__(self, server: SmtpServer) -> None:
        """Does no I/O. Raises Misconfigured."""
        if not server.host or not server.sender or not server.to:
            raise Misconfigured("ntfy.fallback.smtp needs host, sender and to.")
        if server.encryption == "none" and server.host not in {"localhost", "127.0.0.1", "::1"}:
            raise Misconfigured(
                "ntfy.fallback.smtp.encryption: none is for a mail server on this machine; use starttls or tls."
            )
        if bool(server.username) != (server.password is not None):
            raise Misconfigured("ntfy.fallback.smtp.username and ntfy.fallback.smtp.password belong together.")
        self._server = server
        self._name = f"smtp-{hashlib.sha256(','.join(server.to).encode()).hexdigest()[:10]}"

    def __repr__(self) -> str:
        return f"Smtp({self._name})"

    @property
    def target(self) -> str:
        """See `Notifier`."""
        return self._name

    async def probe(self) -> bool:
        """It knows no sequence ids."""
        return False

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
            problem: Exception = NotifierRefused(
                f"{whom} refuses the log-in: check ntfy.fallback.smtp.username and its password.", final=False
            )
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as error:
            problem = NotifierRefused(
                f"{whom} refuses the sender or all recipients ({type(error).__name__}): check ntfy.fallback.smtp.",
                final=False,
            )
        except (smtplib.SMTPException, OSError) as error:
            problem = NotifierUnreachable(
                f"{whom} did not take the message ({type(error).__name__}); it is asked again later."
            )
        else:
            if not refused:
                return
            problem = NotifierRefused(
                f"{whom} refuses {len(refused)} of {len(server.to)} recipients: check ntfy.fallback.smtp.to.",
                final=False,
            )
        raise problem from None  # the library's own errors carry what was said, addresses and all

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.encryption == "tls":
            return smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT_S, context=ssl.create_default_context())
        link = smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT_S)
        if server.encryption == "starttls":
            link.starttls(context=ssl.create_default_context())
        return link

    async def was_sent(self, sequence_id: str, *, within_s: int) -> bool | None:
        """It will not say."""
        del sequence_id, within_s
        return None

    async def clear(self, sequence_id: str) -> None:
        """Nothing can be taken back."""

    async def close(self) -> None:
        """Nothing is open."""
