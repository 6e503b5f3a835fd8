"""The body of `leads.score`."""

from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from tasks.catalog import SCORE_LEADS
from tasks.lead_scoring.context import BrokenRulesError, Context, read_context
from tasks.lead_scoring.score import LeadTable, Scores, score_leads
from tasks.lead_scoring.store import Batch, lock_named, lock_stalest, read_events, write_scores
from tasks.payloads import ScoreLeads
from worker.context import Completion, DatabaseJob, PermanentJobError
from worker.job import runs

SHOWN_LEADS = 5
"""Best leads that the job's result names."""


@runs(SCORE_LEADS)
def score(job: DatabaseJob, payload: ScoreLeads) -> Completion:
    """Score a batch of leads by the organization's rules and write it back with one statement."""
    organization_id, session = job.claim.organization_id, job.session
    try:
        context = read_context(session, organization_id)
    except BrokenRulesError as error:
        raise PermanentJobError(str(error)) from error
    batch = _lock(session, organization_id, payload, context)
    if not batch.ids:
        return Completion(_summary(payload, batch, None, context), quantity=0)
    events = read_events(session, organization_id, batch, context)
    table = LeadTable(batch.columns, events, len(batch.ids))
    scores = score_leads(context.rules, table, now=context.now.timestamp(), model=context.model)
    written = write_scores(session, organization_id, batch, scores, context)
    return Completion(_summary(payload, batch, scores, context), quantity=written)


def _lock(session: Session, organization_id: UUID, payload: ScoreLeads, context: Context) -> Batch:
    fields = context.fields
    if payload.lead_ids is None:
        return lock_stalest(session, organization_id, limit=payload.limit, fields=fields)
    return lock_named(session, organization_id, payload.lead_ids, fields)


def _summary(payload: ScoreLeads, batch: Batch, scores: Scores | None, context: Context) -> dict[str, Any]:
    """Return what the tenant is shown: counts, and the best leads with why."""
    summary: dict[str, Any] = {"scored": len(batch.ids), "rules_version": context.rules.version}
    if context.model is not None:
        summary["model_version"] = context.model.version
    if payload.lead_ids is not None:
        summary["missing"] = payload.most - len(batch.ids)
    if scores is not None:
        best = (-scores.score).argsort(kind="stable")[:SHOWN_LEADS].tolist()
        summary["buckets"] = dict(Counter(scores.bucket))
        summary["top"] = [
            {
                "lead_id": str(batch.ids[row]),
                "score": int(scores.score[row]),
                "grade": scores.grade[row],
                "reasons": scores.reasons[row],
            }
            for row in best
        ]
    return summary
