"""API keys: how machines of an organization call.

A key reads ``mg_<environment>_<id>_<secret>``. The id names the organization and the key, so that the key is
looked up inside that tenant's binding. The secret has 256 random bits: there is nothing to guess, so one
SHA-256 is as good as a slow hash of passwords, which would only cost the intake its time. The hash covers the
id too: copied into another row it is worth nothing.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Self
from uuid import UUID

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.orm import Mapped

from models.base import Base, TenantMixin, TimestampMixin
from models.session import Database, call

PREFIX = "mg_"
ENVIRONMENTS: Mapping[str, str] = MappingProxyType(
    {"production": "live", "development": "dev", "test": "test"}
)
"""How a key names the environment it was made in; it is good in no other."""
SECRET_BYTES = 32
LONGEST_KEY = 200
USED_PRECISION = timedelta(minutes=1)
"""When a key was last used is known this exactly."""


class ApiKey(TenantMixin, TimestampMixin, Base):
    __tablename__ = "api_keys"
    __table_args__ = (
        Index("ix_api_keys_organization_id_created_at_id", "organization_id", "created_at", "id"),
        CheckConstraint("length(secret_hash) = 32", name="secret_hash"),
        CheckConstraint("(previous_hash IS NULL) = (previous_until IS NULL)", name="previous"),
    )

    name: Mapped[str]
    scopes: Mapped[list[str]]
    """Permissions; never more than their maker had."""
    hint: Mapped[str]
    """The last characters of the secret, by which people tell keys apart."""
    secret_hash: Mapped[bytes]
    previous_hash: Mapped[bytes | None]
    """Of the secret before, which is good until `previous_until`."""
    previous_until: Mapped[datetime | None]
    rotated_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_by: Mapped[str]


@dataclass(frozen=True, slots=True)
class KeyName:
    """What a key's id says: whose it is and which."""

    organization_id: UUID
    key_id: UUID

    def __str__(self) -> str:
        return _spell(self.organization_id.bytes + self.key_id.bytes)


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """A key as a caller sends it; nothing of it is proven."""

    environment: str
    name: KeyName
    secret: str = field(repr=False)

    @classmethod
    def make(cls, environment: str, name: KeyName) -> Self:
        """Make a key with a fresh secret."""
        return cls(ENVIRONMENTS[environment], name, _spell(secrets.token_bytes(SECRET_BYTES)))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read what a caller sent; None when it is no key."""
        parts = text.split("_")
        if len(text) > LONGEST_KEY or len(parts) != 4 or parts[0] + "_" != PREFIX:  # noqa: PLR2004 - its parts
            return None
        _, environment, name, secret = parts
        try:
            raw = _read(name)
            return cls(environment, KeyName(UUID(bytes=raw[:16]), UUID(bytes=raw[16:])), secret)
        except (ValueError, binascii.Error):
            return None

    def __str__(self) -> str:
        return f"{PREFIX}{self.environment}_{self.name}_{self.secret}"

    @property
    def hint(self) -> str:
        return self.secret[-4:]

    @property
    def hash(self) -> bytes:
        """SHA-256 over id and secret."""
        return hashlib.sha256(f"{self.name}_{self.secret}".encode()).digest()


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What the database knows of a key."""

    secret_hash: bytes = field(repr=False)
    previous_hash: bytes | None = field(repr=False)
    previous_until: datetime | None
    scopes: list[str] = field(hash=False)
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime
    is_braked: bool
    """The organization is about to be suspended."""

    def opens_with(self, key: PresentedKey, *, now: datetime) -> bool:
        """Tell whether *key* is this one and good now; how long that takes tells nothing about the secret."""
        current = hmac.compare_digest(self.secret_hash, key.hash)
        former = hmac.compare_digest(self.previous_hash or b"", key.hash)
        in_overlap = self.previous_until is not None and now < self.previous_until
        in_time = self.expires_at is None or now < self.expires_at
        return (current or (former and in_overlap)) and in_time and self.revoked_at is None

    @property
    def was_used_long_ago(self) -> bool:
        """Tell whether its use is to be noted again."""
        return self.last_used_at is None or datetime.now(UTC) - self.last_used_at > USED_PRECISION


def load_api_key(database: Database, name: KeyName) -> StoredKey | None:
    """Return the key of *name*, looked up inside the binding of the organization it names."""
    rows = call(database, name.organization_id, "load_api_key", key=name.key_id)
    return StoredKey(**rows[0]) if rows else None


def touch_api_key(database: Database, name: KeyName) -> None:
    """Note that a key was used, at most once a minute."""
    call(database, name.organization_id, "touch_api_key", key=name.key_id)


def _spell(raw: bytes) -> str:
    """Letters and digits only: what is marked with a double click is a whole part."""
    return base64.b32encode(raw).decode().rstrip("=").lower()


def _read(text: str) -> bytes:
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
