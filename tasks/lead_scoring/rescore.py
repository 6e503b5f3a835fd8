"""The body of `leads.rescore`: splits the work into jobs that each score one batch."""

from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.lead import Lead
from models.scoring import LeadChange
from tasks.catalog import RESCORE_LEADS, SCORE_LEADS
from tasks.payloads import LEADS_PER_JOB, ScoreLeads
from tasks.scoring_payloads import RescoreLeads
from worker.context import Completion, DatabaseJob, PermanentJobError
from worker.fan_out import submit_within
from worker.job import runs
from worker.refusal import LimitExceededError
from worker.submit import Submission


@runs(RESCORE_LEADS)
def rescore(job: DatabaseJob, payload: RescoreLeads) -> Completion:
    """Record the jobs that score the leads: all of them, or none when the quota does not cover them."""
    organization_id, session = job.claim.organization_id, job.session
    split = split_all if payload.which == "all" else split_changed
    batches = split(session, organization_id)
    try:
        jobs = submit_within(session, [Submission(SCORE_LEADS, batch) for batch in batches])
    except LimitExceededError as error:
        raise PermanentJobError(str(error)) from error
    leads = sum(batch.limit for batch in batches)
    return Completion({"leads": leads, "jobs": [str(made.id) for made in jobs]})


def split_all(session: Session, organization_id: UUID, *, size: int = LEADS_PER_JOB) -> list[ScoreLeads]:
    """Return one batch for every *size* leads, in the order of ids; later leads are marked anyway."""
    place = func.row_number().over(order_by=Lead.id)
    lead = (
        select(Lead.id, place.label("place"), func.count().over().label("leads"))
        .where(Lead.organization_id == organization_id, Lead.deleted_at.is_(None))
        .subquery()
        .c
    )
    last_of_each = (
        select(lead.id, lead.place)
        .where((lead.place % size == 0) | (lead.place == lead.leads))
        .order_by(lead.place)
    )
    ends: Sequence[tuple[UUID | None, int]] = [(None, 0), *session.execute(last_of_each)]
    return [
        ScoreLeads(after=after, until=until, limit=place - before)
        for (after, before), (until, place) in pairwise(ends)
    ]


def split_changed(session: Session, organization_id: UUID, *, size: int = LEADS_PER_JOB) -> list[ScoreLeads]:
    """Return as many batches as the marks of now need; each takes what it finds when it runs."""
    marks = select(func.count()).where(LeadChange.organization_id == organization_id)
    changed = session.scalars(marks).one()
    return [ScoreLeads(changed=True, limit=min(size, changed - first)) for first in range(0, changed, size)]
