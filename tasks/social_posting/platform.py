"""What posting needs of a social platform: one protocol that every platform has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from models.social import PlatformName
from tasks.social_posting.content import Content, Limits, Medium
from tasks.social_posting.error import PlatformError
from tasks.social_posting.http import Answer
from tasks.social_posting.sign_in import SignIn


@dataclass(frozen=True, slots=True)
class Account:
    """A social account, without its secrets."""

    id: UUID
    platform: PlatformName
    handle: str
    remote_id: str | None
    server_url: str | None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What its platform said when it was connected: `Identity.attributes`."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Secrets of an account."""

    access: str
    refresh: str | None
    """None where the platform has none, or sent an empty one."""
    expires_at: datetime | None

    def __repr__(self) -> str:
        """Hide the secrets: a repr ends up in logs."""
        return f"Tokens(expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True)
class Identity:
    """An account that a token may post as."""

    remote_id: str
    handle: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What posting needs to know of it, kept with the account."""
    tokens: Tokens | None = None
    """Its own tokens where it does not post with those of the person (a Facebook page); never refreshed."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be sent, committed before the first call and the same in every later one."""

    key: str
    """What makes the platform, or our probe, recognise a second sending."""
    body: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Published:
    """A post as it stands on the platform."""

    remote_id: str
    url: str


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a platform counts of a post; None is not told."""

    likes: int | None = None
    replies: int | None = None
    reposts: int | None = None
    quotes: int | None = None
    views: int | None = None
    clicks: int | None = None


class Platform(Protocol):
    """One social platform.

    Every method that calls raises `PlatformError`. Only `publish` makes anything visible, and only it may
    leave an outcome unknown. A post goes through `upload` (each medium), `prepare`, commit of the intent,
    `publish`.
    """

    name: PlatformName
    limits: Limits
    """What it takes; `limits_of` knows better for one account."""
    can_probe: bool
    """False: a post whose fate is unknown always waits for a person."""
    sign_in: SignIn
    refresh_ahead: timedelta
    """A token with less life than this is refreshed before it is used."""

    def limits_of(self, account: Account) -> Limits:
        """Return what the account may post: its server, or what it pays for, may allow more."""

    def length(self, text: str) -> int:
        """Return the length of *text* as the platform counts it."""

    def identities(self, access_token: str, server: str | None) -> Sequence[Identity]:
        """Return the accounts that a fresh token may post as.

        Args:
            access_token: As `sign_in` leads to it, before it belongs to an account.
            server: Where a federated platform's account lives.
        """

    def upload(self, account: Account, access_token: str, medium: Medium, *, count: int = 1) -> str:
        """Hand over one medium with its alt text, and return the platform's reference to it.

        Keep it with the post: what is still worked on when `prepare` asks need not be sent again.

        Args:
            account: Whose post it is.
            access_token: To call with.
            medium: What to hand over.
            count: How many media the post has: some platforms take one alone otherwise than one of many.
        """

    def prepare(
        self, account: Account, access_token: str, content: Content, *, uploads: Sequence[str], at: datetime
    ) -> Intent:
        """Return what `publish` shall send. Nothing is visible yet.

        Args:
            account: Whose post it is.
            access_token: Used where preparing takes a call (a container).
            content: What it says.
            uploads: A reference for each medium of *content*, in its order.
            at: Now: the moment the post carries.

        Raises:
            TryAgainError: The platform still works on a medium.
            StaleUploadsError: References are no longer good: upload again.
        """

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Publish, or return what is there already under the same key.

        Raises:
            UnknownOutcomeError: It may or may not be published.
            AlreadyPublishedError: The platform has the same post: a probe tells whether it is this one.
            StaleIntentError: It is not published and never will be by this intent: prepare another.
        """

    def probe(
        self, account: Account, access_token: str, intent: Intent, *, known: frozenset[str]
    ) -> Published | None:
        """Look, without changing anything, whether the intent was published.

        Args:
            account: Whose post it is.
            access_token: Used where reading needs one.
            intent: What was sent.
            known: Remote ids of other posts, which this one cannot be.

        Raises:
            NoProbeError: This account may not look: a person decides.
        """

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the refresh token for new tokens.

        Raises:
            ReauthError: The token is no longer good.
        """

    def delete(self, account: Account, access_token: str, remote_id: str) -> None:
        """Remove a post; one that is gone already is no error.

        Raises:
            NotOfferedError: The platform lets nobody delete through its interface.
        """

    def metrics(self, account: Account, access_token: str, remote_id: str) -> Metrics:
        """Return what the platform counts of a post.

        Raises:
            PostGoneError: The post is no longer there.
            NotOfferedError: This account may not ask.
        """

    def classify(self, answer: Answer) -> PlatformError | None:
        """Return what an answer means; None is success."""
