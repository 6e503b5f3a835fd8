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
    MANAGE_USERS = "manage_users"
    MANAGE_BILLING = "manage_billing"
    MANAGE_JOBS = "manage_jobs"
    VIEW_JOBS = "view_jobs"


class Role(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


_ALL = frozenset(Permission)
ROLE_PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.OWNER: _ALL,
        Role.ADMIN: _ALL,
        Role.MEMBER: _ALL - {Permission.MANAGE_USERS, Permission.MANAGE_BILLING},
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
    )

    email: Mapped[str]
    email_norm: Mapped[str]
    """Trimmed and in lower case: an index on ``lower(email)`` is no use under row-level security."""
    name: Mapped[str | None]
    role: Mapped[str] = mapped_column(server_default=Role.MEMBER)
    status: Mapped[str] = mapped_column(server_default=UserStatus.ACTIVE)
    last_seen_at: Mapped[datetime | None]
