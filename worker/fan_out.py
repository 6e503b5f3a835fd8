"""Submit jobs from within a job's own transaction: they exist if and only if it completes."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models.organization import Tenant
from worker.refusal import FeatureNotInPlanError, translated
from worker.submit import Submission, SubmittedJob, recorded_job, recording

TENANT = text("SELECT * FROM app.find_tenant(NULL)")
SUBMIT = text("""
SELECT * FROM app.submit_jobs(
    NULL, :ids, :kinds, :lanes, :payloads, :due, :priorities, :attempts_allowed, :keys, :fingerprints,
    :meters, :quantities, :quota, :requested_by, :request, :expiries, :after_ids, :after_places)
""")
"""In a transaction that is bound to the tenant already."""


def tenant_within(session: Session) -> Tenant:
    """Return the organization that *session* is bound to."""
    return Tenant(**session.execute(TENANT).mappings().one())


def submit_within(session: Session, submissions: Sequence[Submission]) -> list[SubmittedJob]:
    """Record all of *submissions* or none, in the caller's transaction; the relay publishes them after it.

    Nothing is looked up in the queue, so the tenant's backlog is not bounded here: submit few.

    Raises:
        SubmitError: One of its subclasses says why; the transaction can only roll back then.
    """
    if not submissions:
        return []
    tenant = tenant_within(session)
    for submission in submissions:
        feature = submission.kind.feature
        if feature and not tenant.terms.offers(feature):
            raise FeatureNotInPlanError(feature, tenant.plan)
    arguments: dict[str, Any] = recording(tenant, submissions, requested_by=None, request_id=None)
    try:
        rows = session.execute(SUBMIT, arguments | {"quota": Jsonb(arguments["quota"])}).mappings().all()
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise translated(error.orig) from error
        raise
    return [recorded_job(dict(row)) for row in rows]
