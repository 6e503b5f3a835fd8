"""What tests of endings do to jobs and look at."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text, update

from models.job import DeadLetter, Job, JobEvent, OutboxRow
from models.organization import Tenant
from models.session import Database, call, tenant_session
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from worker.publish import Publisher
from worker.submit import Submission, SubmittedJob, submit

SOON = timedelta(hours=1)


def leave(name: str = "a", **options: Any) -> Submission:
    """Return a submission; *options* of the job are its own, the others its payload's."""
    about = {
        key: options.pop(key)
        for key in ("after", "expires_at", "run_at", "idempotency_key")
        if key in options
    }
    return Submission(LEAVE_CAMPAIGN, Leave(name=name, **options), **about)


@dataclass(frozen=True)
class Endings:
    """The jobs of one tenant."""

    database: Database
    tenant: Tenant
    publisher: Publisher

    def submit(self, *submissions: Submission) -> list[SubmittedJob]:
        return submit(self.database, self.tenant, submissions, publisher=self.publisher)

    def job(self, job_id: UUID) -> Job:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return session.get_one(Job, (self.tenant.organization_id, job_id))

    def states(self, *jobs: SubmittedJob) -> list[str]:
        return [self.job(job.id).state for job in jobs]

    def story(self, job_id: UUID) -> list[str]:
        query = select(JobEvent.state).where(JobEvent.job_id == job_id).order_by(JobEvent.id)
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return list(session.scalars(query))

    def letter(self, job_id: UUID) -> DeadLetter:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return session.get_one(DeadLetter, (self.tenant.organization_id, job_id))

    def outbox(self) -> list[UUID]:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return list(session.scalars(select(OutboxRow.job_id).order_by(OutboxRow.job_id)))

    def begin(self, job_id: UUID) -> int:
        """Make the job run, and return the attempt; it is nobody's."""
        with tenant_session(self.database, self.tenant.organization_id) as session:
            job = session.get_one(Job, (self.tenant.organization_id, job_id))
            job.state, job.attempt = "running", job.attempt + 1
            return job.attempt

    def kill(self, job_id: UUID, why: dict[str, Any] | None = None) -> None:
        """Let an attempt of the job fail for good."""
        self.fail(job_id, self.begin(job_id), why=why, retry_at=None)

    def fail(
        self, job_id: UUID, attempt: int, *, retry_at: datetime | None, why: dict[str, Any] | None = None
    ) -> str:
        rows = call(
            self.database,
            self.tenant.organization_id,
            "fail_job",
            job=job_id,
            held_attempt=attempt,
            why=why or {"type": "Test", "message": "told to"},
            retry_at=retry_at,
            counts=True,
        )
        return str(rows[0]["state"])

    def pass_expiry(self, *job_ids: UUID) -> None:
        """Let the expiry of jobs be over."""
        past = datetime.now(UTC) - SOON
        with tenant_session(self.database, self.tenant.organization_id) as session:
            session.execute(update(Job).where(Job.id.in_(job_ids)).values(expires_at=past))
            session.execute(
                text(
                    "WITH old AS (DELETE FROM job_expiries WHERE job_id = ANY (:ids) RETURNING *)"
                    " INSERT INTO job_expiries SELECT organization_id, job_id, :past FROM old"
                ),
                {"ids": list(job_ids), "past": past},
            )

    def age(self, *job_ids: UUID) -> None:
        """Put waiting jobs into the outbox, as if their submitter had died some time ago."""
        with tenant_session(self.database, self.tenant.organization_id) as session:
            session.execute(
                text(
                    "INSERT INTO outbox (organization_id, job_id, attempt, kind, lane, priority, created_at)"
                    " SELECT organization_id, id, attempt, kind, lane, priority, now() - interval '5 minutes'"
                    " FROM jobs WHERE id = ANY (:ids)"
                ),
                {"ids": list(job_ids)},
            )
