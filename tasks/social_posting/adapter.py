"""What the platforms have in common: where to call, and that an answer which is no success is raised."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from tasks.social_posting import http
from tasks.social_posting.content import Limits
from tasks.social_posting.error import (
    NoProbeError,
    PlatformError,
    ReauthError,
    TryAgainError,
    nothing_visible,
)
from tasks.social_posting.http import Answer
from tasks.social_posting.platform import Account, Tokens

CLOCK_DIFFERENCE = timedelta(minutes=5)
"""A platform's clock may be so far behind ours."""
CLIENT_FAULTS = ("invalid_client", "unauthorized_client")
"""Errors of a token call that are the operator's to mend, not the account owner's."""


@dataclass(frozen=True, slots=True)
class Client:
    """What a platform knows this installation by."""

    id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a platform needs to know of the world around it."""

    server_of: Callable[[Account], str]
    """Base address of a federated account's server."""
    server_at: Callable[[str | None], str]
    """Base address of a server that a tenant named; None is the platform's own."""
    reach: Callable[[str], str]
    """Where to call for an address of the platform: there, or at the stand-in."""
    client: Callable[[], Client]


class Adapter(ABC):
    """Base of the platforms."""

    limits: Limits

    def __init__(self, around: Surroundings) -> None:
        """Take the surroundings, which are the stand-in's in a test."""
        self._around = around

    @abstractmethod
    def classify(self, answer: Answer) -> PlatformError | None:
        """Return what an answer means; None is success."""

    def limits_of(self, account: Account) -> Limits:
        """Return the platform's limits: most platforms have the same for all."""
        del account
        return self.limits

    def call(self, method: str, url: str, **details: Any) -> Answer:
        """Make a call that may publish; raise what an answer means that is no success."""
        return self.checked(http.send(method, url, **details))

    def call_safely(self, method: str, url: str, **details: Any) -> Answer:
        """Make a call that publishes nothing whatever comes of it."""
        with nothing_visible():
            return self.call(method, url, **details)

    def checked(self, answer: Answer) -> Answer:
        """Return the answer, if it is a success."""
        error = self.classify(answer)
        if error is not None:
            raise error
        return answer

    def trade(self, url: str, form: Mapping[str, str], *, basic: tuple[str, str] | None = None) -> Tokens:
        """Trade a refresh token at an OAuth token endpoint.

        Raises:
            ReauthError: The token is no longer good.
        """
        asked_at = datetime.now(UTC)
        with nothing_visible():
            answer = http.send("POST", url, form=form, basic=basic)
            name = str(answer.field("error"))
            detail = f"refresh: {answer.status} {name}: {answer.field('error_description') or 'no message'}"
            if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise self.classify(answer) or TryAgainError(detail)
            if answer.unclear or answer.redirects or name in CLIENT_FAULTS:
                raise TryAgainError(detail)
            if not answer.succeeded:
                raise ReauthError(detail)
        return tokens_of(answer, asked_at)


def tokens_of(answer: Answer, asked_at: datetime) -> Tokens:
    """Read the answer of a token call."""
    access, seconds = answer.field("access_token"), answer.field("expires_in")
    if not access:
        raise TryAgainError("the platform answered a refresh without a token")
    expires_at = None if seconds is None else asked_at + timedelta(seconds=int(seconds))
    return Tokens(str(access), answer.field("refresh_token") or None, expires_at)


def text_to_find(text: Any) -> str:
    """Return the text by which a probe finds a post among others.

    Raises:
        NoProbeError: There is none: two posts of pictures alone look the same.
    """
    if not isinstance(text, str) or not text.strip():
        raise NoProbeError("a post without text cannot be told from another")
    return text


def moment_of(text: Any) -> datetime:
    """Read a platform's moment; one without a zone is UTC."""
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
