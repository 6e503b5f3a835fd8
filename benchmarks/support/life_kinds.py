"""The kind of job that is measured: durable, bound to its tenant, one UPDATE."""

from uuid import UUID

from pydantic import BaseModel

from worker.context import Completion, DatabaseJob, Effects
from worker.job import JobKind, Lane, runs

UPDATE = """
UPDATE campaigns SET budget_cents = coalesce(budget_cents, 0) + 1 WHERE organization_id = %s AND id = %s
"""


class OneCampaign(BaseModel):
    """Name the row to change."""

    campaign: UUID


UPDATE_ONE = JobKind(
    name="bench.update_one",
    payload=OneCampaign,
    lane=Lane.SCORING,
    effects=Effects.DATABASE,
    permission=None,
    brief=True,
)


@runs(UPDATE_ONE)
def update_one(job: DatabaseJob, payload: OneCampaign) -> Completion:
    """Change the row."""
    job.execute(UPDATE, (job.claim.organization_id, payload.campaign))
    return Completion()
