"""What every step of an erasure is handed."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tasks.privacy.person import Person
from worker.context import OutsideJob

LONGEST_STATEMENT = "30min"
"""To look through every row of a table takes longer than a statement of a request may."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure that runs."""

    job: OutsideJob
    request_id: UUID
    person: Person | None
    """None is the whole organization."""

    @property
    def organization_id(self) -> UUID:
        return self.job.claim.organization_id

    def transaction(self) -> AbstractContextManager[Session]:
        """Open a transaction bound to the organization; commits when the block ends."""
        return self.job.transaction()

    @staticmethod
    def take_time(session: Session) -> None:
        """Let the statements of this transaction take as long as they need."""
        session.execute(select(func.set_config("statement_timeout", LONGEST_STATEMENT, True)))
