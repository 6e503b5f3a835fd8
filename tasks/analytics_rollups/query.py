"""The body of `analytics.query`: an answer that takes its time, kept as the job's result."""

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import select

from config.plans import terms_of
from models.organization import Organization
from tasks.analytics_query import ADVANCED, Answer, QueryTooLargeError, answer
from tasks.catalog import QUERY_ANALYTICS
from tasks.payloads import AnalyticsQuery
from worker.context import Completion, DatabaseJob, PermanentJobError
from worker.job import runs
from worker.refusal import FeatureNotInPlanError

_RESULT: TypeAdapter[Any] = TypeAdapter(Answer)


@runs(QUERY_ANALYTICS)
def query_analytics(job: DatabaseJob, payload: AnalyticsQuery) -> Completion:
    """Answer the query, if the plan still has the feature: it may have changed since the job was accepted."""
    organization = job.session.execute(
        select(Organization.plan, Organization.plan_overrides, Organization.time_zone).where(
            Organization.organization_id == job.claim.organization_id
        )
    ).one()
    if not terms_of(organization.plan, organization.plan_overrides).offers(ADVANCED):
        raise PermanentJobError(str(FeatureNotInPlanError(ADVANCED, organization.plan)))
    try:
        found = answer(job.session, payload, organization.time_zone)
    except QueryTooLargeError as error:
        raise PermanentJobError(str(error)) from error
    return Completion(_RESULT.dump_python(found, mode="json"))
