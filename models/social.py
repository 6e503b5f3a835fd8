"""Social accounts and the posts that go out through them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Integer, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    Base,
    CreatedMixin,
    SoftDeleteMixin,
    TenantMixin,
    TimestampMixin,
    one_of,
    references,
)


class PlatformName(StrEnum):
    BLUESKY = "bluesky"
    MASTODON = "mastodon"
    X = "x"
    LINKEDIN = "linkedin"
    FACEBOOK = "facebook"
    INSTAGRAM = "instagram"
    THREADS = "threads"


class AccountStatus(StrEnum):
    ACTIVE = "active"
    NEEDS_REAUTH = "needs_reauth"
    PAUSED = "paused"


class PostState(StrEnum):
    DRAFT = "draft"
    QUEUED = "queued"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    UNKNOWN = "unknown"
    """The platform may or may not have it: only a probe may decide, never a second post."""
    PARKED_UNCONFIRMED = "parked_unconfirmed"
    """The platform offers no probe: a person decides."""
    FAILED = "failed"
    """Tried as often as a job may; nothing is out. Retrying its job tries again."""
    FAILED_PERMANENT = "failed_permanent"
    BLOCKED_REAUTH = "blocked_reauth"
    CANCELLED = "cancelled"
    REMOVING = "removing"
    """It is published, and a job is to take it back."""
    REMOVED = "removed"


EDITABLE_STATES = (
    PostState.DRAFT,
    PostState.QUEUED,
    PostState.FAILED,
    PostState.FAILED_PERMANENT,
    PostState.BLOCKED_REAUTH,
    PostState.CANCELLED,
)
"""Nothing of the post is on its way, and nothing is out."""


class SocialAccount(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    __tablename__ = "social_accounts"
    __table_args__ = (
        one_of("platform", PlatformName),
        one_of("status", AccountStatus),
        Index(
            "uq_social_accounts_organization_id_platform_handle",
            "organization_id",
            "platform",
            "handle",
            unique=True,
            postgresql_where=text("deleted_at IS NULL AND remote_id IS NULL"),
        ),
        # A person and a page may bear the same name: what the platform calls an account tells them apart.
        Index(
            "uq_social_accounts_by_remote_id",
            "organization_id",
            "platform",
            "server_url",
            "remote_id",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("deleted_at IS NULL AND remote_id IS NOT NULL"),
        ),
        Index("ix_social_accounts_by_created_at", "organization_id", "created_at", "id"),
    )

    platform: Mapped[str]
    handle: Mapped[str]
    remote_id: Mapped[str | None]
    """The account's id on the platform (a DID, a page id); each server of a federated one has its own."""
    server_url: Mapped[str | None]
    """Where a federated platform's account lives; None is the platform's own address."""
    status: Mapped[str] = mapped_column(server_default=AccountStatus.ACTIVE)
    status_detail: Mapped[str | None]
    access_token_encrypted: Mapped[bytes | None]
    refresh_token_encrypted: Mapped[bytes | None]
    expires_at: Mapped[datetime | None]
    """When the access token ends; None is never."""
    token_version: Mapped[int] = mapped_column(server_default="0")
    """Rises with each refresh, so that of two who refresh the second sees it was done."""
    rate_limited_until: Mapped[datetime | None]
    """The platform takes no more of this account before; nothing of it is sent until then."""
    attributes: Mapped[dict[str, Any]] = mapped_column(server_default=EMPTY_OBJECT)


class SocialAuthorization(TenantMixin, CreatedMixin, Base):
    """Somebody who was sent to a platform to allow us to post, and has not come back yet."""

    __tablename__ = "social_authorizations"
    __table_args__ = (
        one_of("platform", PlatformName),
        references("social_accounts", "account_id"),
        Index("ix_social_authorizations_expires_at", "organization_id", "expires_at"),
    )

    user_id: Mapped[str]
    """Only this user may come back with it."""
    platform: Mapped[str]
    server_url: Mapped[str | None]
    account_id: Mapped[UUID | None]
    """The account to connect again; None is a new one."""
    state_hash: Mapped[bytes]
    """Of what the platform hands back; good for one use."""
    verifier_encrypted: Mapped[bytes | None]
    """PKCE: proves that who comes back is who was sent."""
    redirect_url: Mapped[str]
    expires_at: Mapped[datetime]


class SocialClient(TenantMixin, TimestampMixin, Base):
    """What a federated server knows us by: each server gives out a client of its own."""

    __tablename__ = "social_clients"
    __table_args__ = (
        one_of("platform", PlatformName),
        UniqueConstraint("organization_id", "platform", "server_url", "redirect_url"),
    )

    platform: Mapped[str]
    server_url: Mapped[str]
    redirect_url: Mapped[str]
    client_id: Mapped[str]
    client_secret_encrypted: Mapped[bytes]


class SocialPost(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    __tablename__ = "social_posts"
    __table_args__ = (
        one_of("platform", PlatformName),
        one_of("state", PostState),
        references("social_accounts", "account_id"),
        references("campaigns", "campaign_id"),
        references("users", "created_by"),
        Index("ix_social_posts_scheduled_at", "organization_id", "platform", "scheduled_at"),
        Index("ix_social_posts_account", "organization_id", "account_id", "scheduled_at"),
        Index("ix_social_posts_by_created_at", "organization_id", "created_at", "id"),
        Index(
            "uq_social_posts_organization_id_account_id_provider_key",
            "organization_id",
            "account_id",
            "provider_key",
            unique=True,
            postgresql_where=text("provider_key IS NOT NULL"),
        ),
        Index(
            "uq_social_posts_organization_id_request_key",
            "organization_id",
            "request_key",
            "account_id",
            unique=True,
            postgresql_where=text("request_key IS NOT NULL"),
        ),
    )

    account_id: Mapped[UUID]
    campaign_id: Mapped[UUID | None]
    platform: Mapped[str]
    """Repeats the account's, for the index."""
    group_id: Mapped[UUID | None]
    """Posts that were written together for several accounts share it."""
    state: Mapped[str] = mapped_column(server_default=PostState.DRAFT)
    body: Mapped[str]
    media: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    revision: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """Rises with each edit: an attempt that has read an older one does not publish it."""
    uploads: Mapped[list[Any]] = mapped_column(server_default=EMPTY_LIST)
    """The platform's references to media that it has been given already, in their order."""
    request_key: Mapped[str | None]
    """The Idempotency-Key of the request that wrote it."""
    request_fingerprint: Mapped[str | None]
    scheduled_at: Mapped[datetime | None]
    job_id: Mapped[UUID | None]
    frozen_body: Mapped[dict[str, Any] | None]
    """Exactly what is sent, its timestamp included; written before the first call and never after."""
    provider_key: Mapped[str | None]
    """What makes the platform (or our probe) recognise a second sending of the same post."""
    publishing_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    remote_id: Mapped[str | None]
    remote_url: Mapped[str | None]
    error_class: Mapped[str | None]
    error_detail: Mapped[str | None]
    metrics: Mapped[dict[str, Any] | None]
    """What the platform counted of it when it was last asked."""
    metrics_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    """Who said what became of a post whose fate nobody knew."""
    decided_at: Mapped[datetime | None]
    created_by: Mapped[UUID | None]

    account: Mapped[SocialAccount] = relationship(lazy="raise", viewonly=True)
