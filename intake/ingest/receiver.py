"""What a tenant sends to say who is told of alerts."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, StrictBool, UrlConstraints

from config.settings import Settings
from intake.ingest.fields import Body, Email, Short
from intake.problem import FieldError, InvalidRequestError
from models.alert import AlertCondition
from tasks.address import is_public
from tasks.payloads import Text


def _each_once(conditions: tuple[AlertCondition, ...]) -> tuple[AlertCondition, ...]:
    if len(set(conditions)) < len(conditions):
        raise ValueError("must name each condition once")
    return conditions


def _one_address(email: str) -> str:
    """Refuse what a mail header would read as more than one plain address."""
    if any(mark in email for mark in ',;:<>()[]"\\ \t\r\n'):
        raise ValueError("must be one plain address, as in ann@example.com")
    return email


def _bare(url: HttpUrl) -> HttpUrl:
    if url.username is not None or url.password is not None:
        raise ValueError("must not hold a user or a password")
    return url


Conditions = Annotated[
    tuple[AlertCondition, ...],
    Field(max_length=len(AlertCondition), description="Only these; empty is all."),
    AfterValidator(_each_once),
]
Url = Annotated[HttpUrl, UrlConstraints(max_length=2_000), AfterValidator(_bare)]


class EndpointChange(Body):
    """What to change; a field that is left out stays."""

    url: Url = HttpUrl("https://example.org")
    description: Annotated[Text, Field(max_length=200)] | None = None
    conditions: Conditions = ()
    paused: StrictBool = False


class EndpointBody(EndpointChange):
    """An https address that alerts are posted to, signed."""

    url: Url


class RecipientChange(Body):
    """What to change; a field that is left out stays."""

    name: Short | None = None
    conditions: Conditions = ()
    paused: StrictBool = False


class RecipientBody(RecipientChange):
    """An address that alerts are mailed to."""

    email: Annotated[Email, AfterValidator(_one_address)]


def check_url(url: HttpUrl, settings: Settings) -> str:
    """Return the address as text; refuse what can be seen at once not to be on the public internet.

    What a name leads to is looked at with every call, since it can change.

    Raises:
        InvalidRequestError: It is not https, or names a private address.
    """
    text = str(url)
    if settings.webhooks_to_private_addresses:
        return text
    if url.scheme != "https":
        raise _refusal("must be an https address")
    host = (urlsplit(text).hostname or "").rstrip(".")
    try:
        public = is_public(host)
    except ValueError:  # a name
        public = "." in host and not host.endswith((".localhost", ".local", ".internal"))
    if not public:
        raise _refusal("must be on the public internet")
    return text


def _refusal(message: str) -> InvalidRequestError:
    return InvalidRequestError([FieldError(field="url", message=message)])
