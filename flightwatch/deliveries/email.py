"""E-mail: the daily digest as a message with a plain and an HTML part and maps inline, and its way to a mail server.

The message is made once a day and kept in the outbox, so a repeat is the same message with the same Message-ID.
Python's `email` refuses line breaks in headers.
"""

from __future__ import annotations

import base64
import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime, parseaddr
from hashlib import sha256
from types import MappingProxyType

from flightwatch.config import Secret
from flightwatch.errors import DeliveryError

TIMEOUT_S = 20

SHUT_FOR_S = 900.0
"""What is wrong with the server or the account, until somebody mends it: the digest waits, and is tried once in a quarter of
an hour."""

TOO_LARGE = 552
"""Of a sender's reply, the one that is about the message (RFC 1870)."""

ATTACHED_TYPES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet", "txt": "text/plain"}
"""Content types by the ends of file names."""

LIST_ID = "flightwatch daily digest"


@dataclass(frozen=True)
class MailServer:
    """Where and how mail is handed over."""

    host: str
    port: int
    security: str = "none"
    user: Secret | None = None
    password: Secret | None = None


def digest_mail(
    sender: str,
    recipient: str,
    day: str,
    written: datetime,
    subject: str,
    plain: str,
    html: str,
    pictures: Mapping[str, bytes],
    attached: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """The digest of a day for one recipient. `pictures` are PNGs by the content id that the HTML names, `attached` are files by
    their names."""
    mail = EmailMessage(policy=policy.SMTP)
    domain = parseaddr(sender)[1].rpartition("@")[2] or "localhost"
    mail["From"], mail["To"], mail["Subject"] = sender, recipient, subject
    mail["Date"] = format_datetime(written)
    mail["Message-ID"] = f"<digest-{day}-{_safe(recipient)}@{domain}>"
    mail["List-Id"] = f'"{LIST_ID}" <digest.flightwatch.{domain}>'
    mail["List-Unsubscribe"] = f"<mailto:{parseaddr(sender)[1]}?subject=unsubscribe%20flightwatch%20digest>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(plain)
    mail.add_alternative(html, subtype="html")
    page = mail.get_body(("html",))
    assert isinstance(page, EmailMessage)  # the part that was just added
    for name, png in pictures.items():
        page.add_related(png, "image", "png", cid=f"<{name}>", filename=f"{name}.png", disposition="inline")
    for name, data in attached.items():
        kind, _, subtype = ATTACHED_TYPES[name.rpartition(".")[2]].partition("/")
        mail.add_attachment(data, kind, subtype, filename=name)
    for number, part in enumerate(mail.walk()):
        if part.is_multipart():  # Python draws boundaries by lot; the same digest is to be the same bytes
            part.set_boundary(f"==={sha256(html.encode()).hexdigest()[:32]}-{number}===")
    return mail.as_bytes()


def _safe(address: str) -> str:
    return "".join(c if c.isalnum() else "." for c in parseaddr(address)[1] or address)


class Mailer:
    """Hands messages to a mail server."""

    def __init__(self, server: MailServer, sender: str) -> None:
        self._server = server
        self._sender = parseaddr(sender)[1]

    def send(self, mail: bytes, recipient: str) -> str:
        """Delivers one message to one recipient; returns its Message-ID."""
        try:
            smtp = self._connected()
        except (OSError, smtplib.SMTPException) as error:
            raise self._shut(error) from None
        accepted = False
        try:
            with smtp:
                smtp.sendmail(self._sender, [parseaddr(recipient)[1]], mail)
                accepted = True
        except smtplib.SMTPServerDisconnected:
            if not accepted:
                raise DeliveryError("the mail server broke off", outcome_unknown=True) from None
        except (OSError, smtplib.SMTPException) as error:
            if not accepted:
                raise _refused(error, recipient) from None
        return str(BytesParser(policy=policy.SMTP).parsebytes(mail, headersonly=True)["Message-ID"])

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        make: Callable[..., smtplib.SMTP] = smtplib.SMTP_SSL if server.security == "tls" else smtplib.SMTP
        extra = {"context": ssl.create_default_context()} if server.security == "tls" else {}
        smtp = make(server.host, server.port, timeout=TIMEOUT_S, **extra)
        try:
            if server.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if server.user is not None and server.password is not None:
                smtp.login(server.user.reveal(), server.password.reveal())
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _shut(self, error: Exception) -> DeliveryError:
        """The server does not let us in. That is no fault of the message, so it waits until somebody mends it."""
        where = f"the mail server {self._server.host}:{self._server.port}"
        if isinstance(error, smtplib.SMTPResponseException):
            told = f"{error.smtp_code} {_text(error.smtp_error)}"
            hint = ": correct user or password" if isinstance(error, smtplib.SMTPAuthenticationError) else ""
            wait_s = SHUT_FOR_S if error.smtp_code >= 500 else None
            return DeliveryError(f"{where} lets nobody in ({told}){hint}", retry_after_s=wait_s)
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return DeliveryError(f"{where} does not offer that: correct `security` or the user", retry_after_s=SHUT_FOR_S)
        return DeliveryError(f"{where} cannot be reached ({type(error).__name__})")


def _refused(error: Exception, recipient: str) -> DeliveryError:
    """The server is there and does not take the message: 4xx for now, 5xx for good (RFC 5321, 4.2.1)."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return DeliveryError(f"the mail server refuses {recipient}: {code} {_text(text)}", permanent=code >= 500)
    if isinstance(error, smtplib.SMTPSenderRefused) and 500 <= error.smtp_code != TOO_LARGE:
        told = f"the mail server refuses the sender: {error.smtp_code} {_text(error.smtp_error)}: correct `from` or the user"
        return DeliveryError(told, retry_after_s=SHUT_FOR_S)
    if isinstance(error, smtplib.SMTPResponseException):
        told = f"the mail server answered {error.smtp_code} {_text(error.smtp_error)}"
        return DeliveryError(told, permanent=error.smtp_code >= 500)
    return DeliveryError(f"the mail server broke off ({type(error).__name__})", outcome_unknown=True)


def _text(reply: bytes | str) -> str:
    return (reply.decode(errors="replace") if isinstance(reply, bytes) else reply)[:200]


def with_pictures_inside(mail: bytes) -> str:
    """The HTML of a digest as one file: pictures stand in it as data instead of parts of the mail."""
    message = BytesParser(policy=policy.SMTP).parsebytes(mail)
    html, pictures = "", {}
    for part in message.walk():
        if part.get_content_type() == "text/html":
            html = part.get_content()
        elif part.get_content_maintype() == "image":
            pictures[str(part["Content-ID"]).strip("<>")] = base64.b64encode(part.get_content()).decode()
    for name, data in pictures.items():
        html = html.replace(f"cid:{name}", f"data:image/png;base64,{data}")
    return html
