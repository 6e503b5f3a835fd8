"""What the stand-in remembers: accounts, their records, tokens, limits and planted faults."""

import secrets
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ops.stand_in.fault import Fault

Status = Literal["active", "takendown", "deactivated"]
DAY = 86_400.0
Sort = Literal["person", "organization"]

LIMITS: Mapping[str, tuple[int, float]] = {
    "bluesky": (5_000, 3_600.0),
    "mastodon": (300, 300.0),
    "x": (100, 86_400.0),
    "linkedin": (150, 86_400.0),
    "facebook": (4_800, 86_400.0),
    "instagram": (100, 86_400.0),
    "threads": (250, 86_400.0),
}
"""Points, or posts, that an account may use in so many seconds."""

LIVES: Mapping[str, float] = {
    "x": 7_200.0,
    "linkedin": 60 * DAY,
    "facebook": 3_650 * DAY,
    "instagram": 60 * DAY,
    "threads": 60 * DAY,
    "mastodon": 3_650 * DAY,
}
"""Seconds that an access token lives; Bluesky's as `World.token_seconds` has it."""


@dataclass(slots=True)
class Window:
    """A fixed window of points, as the platforms count them."""

    limit: int
    seconds: float
    used: int = 0
    resets_at: float = 0.0

    def take(self, points: int) -> bool:
        """Charge *points*; False leaves the window as it was."""
        now = time.time()
        if now >= self.resets_at:
            self.used, self.resets_at = 0, now + self.seconds
        if self.used + points > self.limit:
            return False
        self.used += points
        return True

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)


@dataclass(slots=True)
class Record:
    """One thing that an account published."""

    key: str
    value: dict[str, Any]
    cid: str
    created_at: float
    media: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Medium:
    """One medium, or one container, that waits for its post."""

    key: str
    value: dict[str, Any]
    ready_at: float
    expires_at: float
    is_published: bool = False


@dataclass(frozen=True, slots=True)
class Code:
    """One authorization code."""

    platform: str
    handle: str
    client_id: str
    redirect_uri: str
    challenge: str | None
    expires_at: float


@dataclass(slots=True)
class Account:
    platform: str
    handle: str
    identifier: str
    """The platform's own id: a DID, a number."""
    password: str
    window: Window
    status: Status = "active"
    records: dict[str, Record] = field(default_factory=dict)
    access: dict[str, float] = field(default_factory=dict)
    """Access token to the moment it expires."""
    refresh: set[str] = field(default_factory=set)
    idempotency: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Idempotency key to (moment of use, record key)."""
    calls: Counter[str] = field(default_factory=Counter)
    sort: Sort = "organization"
    media: dict[str, Medium] = field(default_factory=dict)
    """What was handed over and is not published: media, containers."""

    def grant(self, ttl: float) -> tuple[str, str]:
        """Issue an access token good for *ttl* seconds and a refresh token good for one use."""
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self.access[access] = time.time() + ttl
        self.refresh.add(refresh)
        return access, refresh


def _identifier(platform: str, sort: Sort, number: int) -> str:
    match platform:
        case "bluesky":
            return f"did:plc:standin{number:017d}"
        case "linkedin":
            return f"urn:li:{sort}:{number}"
        case _:
            return str(number)


@dataclass(slots=True)
class World:
    """All state of one server; one event loop touches it, so nothing is locked."""

    token_seconds: float = 7_200.0
    honours_idempotency: bool = True
    """Not every Mastodon-compatible server does."""
    processing_seconds: float = 0.0
    """How long a platform works on a medium."""
    listing_seconds: float = 0.0
    """How long a new post is missing from lists."""
    unreadable: set[str] = field(default_factory=set)
    """Platforms on which accounts may not read what they posted."""
    accounts: dict[tuple[str, str], Account] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)
    serial: int = 1_000

    def next_number(self) -> int:
        """Return a number never returned before, rising."""
        self.serial += 1
        return self.serial

    def add_account(self, platform: str, handle: str, password: str, sort: Sort = "organization") -> Account:
        """Create the account, or return the one that exists."""
        known = self.accounts.get((platform, handle))
        if known is not None:
            return known
        account = Account(
            platform=platform,
            handle=handle,
            identifier=_identifier(platform, sort, self.next_number()),
            password=password,
            window=Window(*LIMITS[platform]),
            sort=sort,
        )
        self.accounts[platform, handle] = account
        return account

    def keep_medium(self, account: Account, value: dict[str, Any], *, key: str | None = None) -> Medium:
        """Remember a medium or a container for a day."""
        now = time.time()
        key = str(self.next_number()) if key is None else key
        account.media[key] = medium = Medium(key, value, now + self.processing_seconds, now + DAY)
        return medium

    def listed(self, account: Account) -> list[Record]:
        """Return what lists show of an account, newest first."""
        newest = time.time() - self.listing_seconds
        return [record for record in reversed(account.records.values()) if record.created_at <= newest]

    def holder(self, platform: str, token: str) -> Account | None:
        """Return the account that was ever granted the access token."""
        return next((a for (p, _), a in self.accounts.items() if p == platform and token in a.access), None)

    def named(self, platform: str, name: str) -> Account | None:
        """Return the account with this handle or identifier."""
        return next(
            (a for (p, _), a in self.accounts.items() if p == platform and name in (a.handle, a.identifier)),
            None,
        )

    def strike(self, platform: str, operation: str, handle: str | None) -> Fault | None:
        """Spend and return the first planted fault that matches the call."""
        fault = next((f for f in self.faults if f.matches(platform, operation, handle)), None)
        if fault is not None:
            fault.times -= 1
        return fault
