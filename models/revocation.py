"""Tokens that hold no more, before their time; and how the bearer of a token stands right now."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session

from models.base import Base, CreatedMixin, TenantMixin, one_of
from models.session import Database, call
from models.user import ROLE_PERMISSIONS, Permission, Role, UserStatus


class RevocationTarget(StrEnum):
    TOKEN = "token"  # noqa: S105 - a name
    """The one token of an id (`jti`)."""
    USER = "user"
    """All tokens of a user that were issued until a moment."""
    ORGANIZATION = "organization"
    """All tokens of everybody that were issued until a moment."""


class Revocation(TenantMixin, CreatedMixin, Base):
    __tablename__ = "revocations"
    __table_args__ = (
        Index("ix_revocations_organization_id_created_at_id", "organization_id", "created_at", "id"),
        one_of("target", RevocationTarget),
        CheckConstraint("(target = 'token') = (issued_before IS NULL)", name="moment"),
        CheckConstraint("(target = 'organization') = (subject = '')", name="subject"),
        UniqueConstraint("organization_id", "target", "subject"),
    )

    target: Mapped[str]
    subject: Mapped[str]
    """Id of the token or of the user; empty for everybody."""
    issued_before: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    """The token has expired by then, and this may be forgotten; None is never."""
    reason: Mapped[str | None]
    revoked_by: Mapped[str]


def revoke(  # noqa: PLR0913 - what is revoked, and what is said of it
    session: Session,
    organization_id: UUID,
    target: RevocationTarget,
    *,
    subject: str = "",
    issued_before: datetime | None = None,
    expires_at: datetime | None = None,
    reason: str | None = None,
    revoked_by: str,
) -> UUID:
    """Record that tokens hold no more, and forget what has expired; of two moments the later one counts.

    Nothing is taken back by it: what was revoked once stays so.
    """
    session.execute(delete(Revocation).where(Revocation.expires_at < func.now()))
    if target is not RevocationTarget.TOKEN:
        issued_before, expires_at = issued_before or datetime.now(UTC), None
    statement = insert(Revocation).values(
        organization_id=organization_id,
        target=target.value,
        subject=subject,
        issued_before=issued_before if target is not RevocationTarget.TOKEN else None,
        expires_at=expires_at,
        reason=reason,
        revoked_by=revoked_by,
    )
    new = statement.excluded
    return session.scalars(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "target", "subject"],
            set_={
                "issued_before": func.greatest(Revocation.issued_before, new.issued_before),
                "expires_at": new.expires_at,
                "reason": func.coalesce(new.reason, Revocation.reason),
                "revoked_by": new.revoked_by,
            },
        ).returning(Revocation.id)
    ).one()


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token names, and the token's own id if it has one."""

    organization_id: UUID
    user_id: str
    token_id: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a bearer stands right now."""

    user_status: str | None
    """None: the user is none of ours, and the issuer alone knows."""
    user_role: str | None
    token_revoked: bool
    revoked_until: datetime | None
    """Tokens that were issued until then hold no more."""
    is_braked: bool
    """The organization is about to be suspended."""

    def has_revoked(self, issued_at: datetime) -> bool:
        """Tell whether a token issued at this moment, of which a token tells the second, was revoked."""
        return self.token_revoked or (self.revoked_until is not None and issued_at <= self.revoked_until)

    @property
    def is_out(self) -> bool:
        """Tell whether the user is one of ours who may not work here any more."""
        return self.user_status not in {None, UserStatus.ACTIVE, UserStatus.INVITED}

    @property
    def permissions(self) -> frozenset[Permission] | None:
        """What the user's role permits now; None of one who is none of ours."""
        return None if self.user_role is None else ROLE_PERMISSIONS[Role(self.user_role)]


def load_standing(database: Database, bearer: Bearer) -> Standing:
    """Ask the database how *bearer* stands, in one round trip."""
    try:
        caller_id = UUID(bearer.user_id)
    except ValueError:
        caller_id = None
    [row] = call(
        database,
        bearer.organization_id,
        "load_standing",
        caller=bearer.user_id,
        caller_id=caller_id,
        token=bearer.token_id,
    )
    return Standing(**row)
