"""The brake: an organization's jobs are to stop now, before its new status is recorded.

Recording a status waits for the organization's own transactions (the audit log is a chain), so a job that
runs long could put off its own suspension. The brake waits for nothing, and ends by itself.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session

from models.base import Base, OrganizationMixin
from models.session import Database, tenant_session

BRAKED_FOR = timedelta(minutes=1)
"""Should whoever pulled the brake vanish, the organization goes on after this."""


class OrganizationStop(OrganizationMixin, Base):
    __tablename__ = "organization_stops"

    until: Mapped[datetime]


def pull_brake(database: Database, organization_id: UUID) -> None:
    """Have every worker stop what it runs for an organization."""
    until = func.clock_timestamp() + BRAKED_FOR
    statement = insert(OrganizationStop).values(organization_id=organization_id, until=until)
    again = statement.on_conflict_do_update(index_elements=["organization_id"], set_={"until": until})
    with tenant_session(database, organization_id) as session:
        session.execute(again)


def release_brake(session: Session) -> None:
    """Let the organization's recorded status alone decide."""
    session.execute(delete(OrganizationStop))
