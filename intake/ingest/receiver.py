"""What a tenant sends to say who is told of alerts."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, HttpUrl, PlainSerializer, StrictBool, UrlConstraints

from config.settings import get_settings
from intake.ingest.fields import Body, Email, Short
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


def _callable(url: HttpUrl) -> HttpUrl:
    """Refuse what can be seen at once not to be on the public internet.

    What a name leads to is looked at with every call, since it can change.
    """
    if url.username is not None or url.password is not None:
        raise ValueError("must not hold a user or a password")
    if get_settings().webhooks_to_private_addresses:
        return url
    if url.scheme != "https":
        raise ValueError("must be an https address")
    if not _names_the_public((urlsplit(str(url)).hostname or "").rstrip(".")):
        raise ValueError("must be on the public internet")
    return url


def _names_the_public(host: str) -> bool:
    try:
        return is_public(host)
    except ValueError:  # a name
        return "." in host and not host.endswith((".localhost", ".local", ".internal"))


Conditions = Annotated[
    tuple[AlertCondition, ...],
    Field(max_length=len(AlertCondition), description="Only these; empty is all."),
    AfterValidator(_each_once),
]
Url = Annotated[HttpUrl, UrlConstraints(max_length=2_000), AfterValidator(_callable), PlainSerializer(str)]


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
