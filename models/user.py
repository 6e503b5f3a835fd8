"""People of an organization, their roles and what a role permits."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, SoftDeleteMixin, TenantMixin, TimestampMixin, one_of


class Permission(StrEnum):
    MANAGE_CAMPAIGNS = "manage_campaigns"
    MANAGE_SOCIAL = "manage_social"
    MANAGE_LEADS = "manage_leads"
    VIEW_ANALYTICS = "view_analytics"
    SEND_EVENTS = "send_events"
    """Record what visitors did: what a key in somebody's website or app needs, and no more."""
    MANAGE_USERS = "manage_users"
    MANAGE_BILLING = "manage_billing"
    MANAGE_JOBS = "manage_jobs"
    VIEW_JOBS = "view_jobs"
    MANAGE_SETTINGS = "manage_settings"
    """Name, time zone, settings and feature flags of the organization."""
    MANAGE_BRANDING = "manage_branding"
    MANAGE_API_KEYS = "manage_api_keys"
    MANAGE_WEBHOOKS = "manage_webhooks"
    VIEW_AUDIT = "view_audit"
    MANAGE_PRIVACY = "manage_privacy"
    """Export and erase what is known of a person."""
    MANAGE_OWNERS = "manage_owners"
    """Make somebody an owner, or change one: what tells an owner from an admin."""


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


_ALL = frozenset(Permission)
ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.OWNER: _ALL,
        Role.ADMIN: _ALL - {Permission.MANAGE_OWNERS},
        Role.MEMBER: frozenset(
            {
                Permission.MANAGE_CAMPAIGNS,
                Permission.MANAGE_SOCIAL,
                Permission.MANAGE_LEADS,
                Permission.MANAGE_JOBS,
                Permission.VIEW_ANALYTICS,
                Permission.SEND_EVENTS,
                Permission.VIEW_JOBS,
            }
        ),
        Role.VIEWER: frozenset({Permission.VIEW_ANALYTICS, Permission.VIEW_JOBS}),
    }
)


class UserStatus(StrEnum):
    INVITED = "invited"
    ACTIVE = "active"
    DISABLED = "disabled"


class User(TenantMixin, TimestampMixin, SoftDeleteMixin, Base):
    __tablename__ = "users"
    __table_args__ = (
        one_of("role", Role),
        one_of("status", UserStatus),
        Index(
            "uq_users_organization_id_email_norm",
            "organization_id",
            "email_norm",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("ix_users_by_created_at", "organization_id", "created_at", "id"),
    )

    email: Mapped[str]
    email_norm: Mapped[str]
    """Trimmed and in lower case: an index on ``lower(email)`` is no use under row-level security."""
    name: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default=Role.MEMBER)
    status: Mapped[str] = mapped_column(server_default=UserStatus.ACTIVE)
    last_seen_at: Mapped[datetime | None]
