"""Locks that end with the transaction."""

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def one_at_a_time(session: Session, organization_id: UUID, act: str) -> None:
    """Wait until no other transaction of the organization is at *act*.

    The organization stands in the key: one tenant never waits for another.
    """
    key = func.hashtextextended(f"{organization_id}/{act}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))
