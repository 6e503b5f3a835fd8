"""Domains of their own under which organizations appear."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, TenantMixin, TimestampMixin


class CustomDomain(TenantMixin, TimestampMixin, Base):
    """A domain that an organization says is its own, and whether its DNS agrees.

    Unique within the organization only: were it unique across, a refusal would tell who else is a customer.
    Two may name a domain; only the one whose token its DNS shows has proved it. If both did, the one that
    proved it last holds it, and shows its login page there (``migrations/sql/branding.sql``).
    """

    __tablename__ = "custom_domains"
    __table_args__ = (
        UniqueConstraint("organization_id", "domain"),
        Index("ix_custom_domains_by_created_at", "organization_id", "created_at", "id"),
    )

    domain: Mapped[str]
    """In lower case, and as DNS spells it (punycode)."""
    token: Mapped[str]
    """What a TXT record of the domain must say."""
    verified_at: Mapped[datetime | None] = mapped_column()
    """When DNS first agreed; emptied when a later check finds that it does not any more."""
    checked_at: Mapped[datetime | None] = mapped_column()
