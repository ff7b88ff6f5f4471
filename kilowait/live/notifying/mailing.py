"""A mail by the operator's server, to addresses that the operator allows."""

import re
import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from kilowait.core.errors import InputError
from kilowait.live.notifying.notice_settings import NoticeSettings
from kilowait.live.notifying.outward import NotTold

TIMEOUT_S = 10.0
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*)")
PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


def checked_address(address: str, settings: NoticeSettings) -> str:
    """The address; raises InputError for one that no mail is sent to."""
    if not settings.smtp:
        raise InputError("mail: this service sends none; an operator gives it a server with the option smtp")
    found = ADDRESS.fullmatch(address)
    if found is None or len(address) > 254:
        raise InputError(f"mail {address[:80]!r}: no address; give one as in ada@example.org")
    domain, allowed = found[1].lower(), [name.lower() for name in settings.mail_domains]
    if "*" not in allowed and domain not in allowed:
        raise InputError(
            f"mail {address}: this service writes to {', '.join(allowed) or 'nobody'} alone; give such an one"
        )
    return address


def send(address: str, subject: str, text: str, settings: NoticeSettings) -> None:
    """Hand it to the server; raises NotTold."""
    message = EmailMessage()
    message["From"], message["To"] = settings.mail_from or "kilowait@localhost", address
    message["Subject"] = " ".join(subject.split())[:200]
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    server = urlsplit(settings.smtp)
    host, port = server.hostname or "localhost", server.port or PORTS.get(server.scheme, 25)
    try:
        with _connected(server.scheme, host, port) as connection:
            if server.username:
                connection.login(unquote(server.username), settings.smtp_password)
            connection.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise NotTold(
            f"the mail server refuses {address} ({codes})", final=all(code >= 500 for code in codes)
        ) from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotTold(f"the mail server: {type(error).__name__}") from error


def _connected(scheme: str, host: str, port: int) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
    connection = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    if scheme == "smtp+starttls":
        connection.starttls(context=ssl.create_default_context())
    return connection
