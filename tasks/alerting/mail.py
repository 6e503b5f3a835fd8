"""E-mail of alerts, over SMTP."""

import smtplib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email import policy
from email.errors import HeaderParseError
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from config.settings import Settings
from models.alert import DeliveryEvent
from tasks.alerting.outcome import DeliveryError, RefusedError
from tasks.text import clean

TIMEOUT = timedelta(seconds=10)
LONGEST_LINE = 900
"""Characters, of the 998 that a mail server takes: where Python folds a subject it misplaces the spaces."""

LONGEST_SUBJECT = 150

PERMANENT = 5
"""First digit of a reply that says no for ever."""

OPENINGS = {
    DeliveryEvent.RAISED: "Alert",
    DeliveryEvent.RESOLVED: "Resolved",
    DeliveryEvent.TEST: "Test",
}


def compose(settings: Settings, delivery_id: UUID, to: str, content: Mapping[str, Any]) -> EmailMessage:
    """Return the message of a delivery; each attempt sends the same, under the same id.

    Raises:
        RefusedError: The address cannot stand in a header.
    """
    opening, data = OPENINGS[DeliveryEvent(content["type"])], content["data"]
    message = EmailMessage(policy.SMTP.clone(max_line_length=LONGEST_LINE))
    _, sender = parseaddr(settings.mail_from)
    try:
        message["From"] = settings.mail_from
        message["To"] = to
    except (ValueError, HeaderParseError, IndexError) as error:
        raise RefusedError(f"not an address that mail can be sent to: {error}") from error
    message["Subject"] = f"{opening}: {clean(data['title'])}"[:LONGEST_SUBJECT]
    message["Date"] = format_datetime(datetime.fromisoformat(content["timestamp"]).astimezone(UTC))
    message["Message-ID"] = f"<{delivery_id}@{sender.partition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    parts = {"opening": opening, "data": data, "at": content["timestamp"]}
    message.set_content(_template("mail.txt.j2").render(parts))
    message.add_alternative(_template("mail.html.j2").render(parts), subtype="html")
    return message


def send(settings: Settings, message: EmailMessage) -> int:
    """Hand the message to the server and return its reply code.

    Raises:
        DeliveryError: It was not taken; another attempt may succeed, unless it is a `RefusedError`.
    """
    if settings.smtp_host is None:
        raise RefusedError("the operator has set no mail server (GENIUS_SMTP_HOST)")
    try:
        with _connect(settings, settings.smtp_host) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise _failure(code, said) from error
    except smtplib.SMTPResponseException as error:
        raise _failure(error.smtp_code, error.smtp_error) from error
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryError(f"mail server: {error}") from error
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryError(f"mail server not reached: {type(error).__name__}") from error
    return 250


def _connect(settings: Settings, host: str) -> smtplib.SMTP:
    seconds = TIMEOUT.total_seconds()
    if settings.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, settings.smtp_port, timeout=seconds, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, settings.smtp_port, timeout=seconds)
    if settings.smtp_security == "starttls":
        server.starttls(context=ssl.create_default_context())
    if settings.smtp_username is not None and settings.smtp_password is not None:
        server.login(settings.smtp_username, settings.smtp_password.get_secret_value())
    return server


def _failure(code: int, said: bytes | str) -> DeliveryError:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    kind = RefusedError if code // 100 == PERMANENT else DeliveryError
    return kind(f"the mail server said {code} {clean(text)}"[:300], status=code)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=name.endswith(".html.j2"),  # the other one is plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clean"] = clean
    return environment.get_template(name)
