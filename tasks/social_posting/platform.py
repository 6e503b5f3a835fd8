"""What posting needs of a social platform: one protocol that every platform has."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from models.social import PlatformName


@dataclass(frozen=True, slots=True)
class Account:
    """A social account, without its secrets."""

    id: UUID
    platform: PlatformName
    handle: str
    remote_id: str | None
    server_url: str | None


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
class Limits:
    """What a platform takes."""

    characters: int
    """Counted as the platform counts: `Platform.length`."""
    bytes: int | None
    media: int


class Platform(Protocol):
    """One social platform. Every method raises `PlatformError`, and only `publish` changes anything there."""

    limits: Limits
    can_probe: bool
    """False: a post whose fate is unknown waits for a person."""

    def length(self, text: str) -> int:
        """Return the length of *text* as the platform counts it."""

    def new_key(self, at: datetime) -> str:
        """Return a provider key never used before."""

    def freeze(self, text: str, at: datetime) -> dict[str, Any]:
        """Return the body to send, its timestamp included."""

    def publish(self, account: Account, access_token: str, intent: Intent) -> Published:
        """Publish, or return what is there already under the same key.

        Raises:
            UnknownOutcomeError: It may or may not be published.
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
        """

    def refresh(self, account: Account, refresh_token: str) -> Tokens:
        """Trade the refresh token for new tokens.

        Raises:
            ReauthError: The token is no longer good.
        """
