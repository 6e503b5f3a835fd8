"""What the body of a job is handed, what it may raise and what it returns."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import DictRow
from sqlalchemy.orm import Session

from models.transaction import TenantTransaction


class Effects(StrEnum):
    """Where a kind leaves its effects; decides how an attempt is made to count once."""

    DATABASE = "database"
    OUTSIDE = "outside"


class JobError(Exception):
    """The job did not succeed."""


class PermanentJobError(JobError):
    """Trying again cannot help: the job goes to the dead letters at once."""


class RetryLaterError(JobError):
    """Try again, not before *after* from now (None: exponential backoff decides)."""

    def __init__(self, reason: str, *, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = after


class LeaseLostError(JobError):
    """Another worker holds this job now: whatever is not committed must not be."""


class JobCancelledError(JobError):
    """The tenant cancelled the job while it ran."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a job achieved."""

    result: Mapping[str, Any] = field(default_factory=dict)
    """JSON object kept with the job and shown to the tenant."""

    quantity: int | None = None
    """What it really used of its kind's meter; None is what was reserved."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker holds: nobody else completes this attempt."""

    organization_id: UUID
    job_id: UUID
    kind: str
    attempt: int
    """1 for the first run."""
    max_attempts: int
    payload: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DatabaseJob:
    """The context of a kind that only touches our database.

    Effects and completion commit in one transaction, fenced by the attempt: they happen exactly once.
    A body never commits.
    """

    claim: Claim
    transaction: TenantTransaction

    @property
    def session(self) -> Session:
        """An ORM session, made when first asked for; a few statements are cheaper without."""
        return self.transaction.session

    def execute(self, statement: QueryNoTemplate, parameters: Params | None = None) -> Cursor[DictRow]:
        """Send a statement to the driver without waiting for it, until the cursor is read.

        Use either this or `session`: the one does not see what the other has not sent yet.
        """
        return self.transaction.execute(statement, parameters)


@dataclass(frozen=True, slots=True)
class OutsideJob:
    """The context of a kind that calls the outside.

    Open a short transaction around each step, never one across a network call: commit the intent, call,
    commit what came of it; after a crash, probe before calling again.
    """

    claim: Claim
    transaction: Callable[[], AbstractContextManager[Session]]
    """Opens a transaction bound to the tenant; commits when the block ends."""
    check: Callable[[], None]
    """Raises when the job must not go on: lease lost, cancelled, organization suspended.

    Call it before a step that cannot be undone.
    """
