"""The body of `leads.score`."""

from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from tasks.catalog import SCORE_LEADS
from tasks.lead_scoring.context import BrokenRulesError, Context, read_context
from tasks.lead_scoring.score import LeadTable, Scores, score_leads
from tasks.lead_scoring.store import (
    Batch,
    lock_changed,
    lock_named,
    lock_range,
    lock_stalest,
    read_events,
    write_scores,
)
from tasks.payloads import ScoreLeads
from worker.context import Completion, DatabaseJob, PermanentJobError
from worker.job import runs

SHOWN_LEADS = 5
"""Best leads that the job's result names."""


@runs(SCORE_LEADS)
def score(job: DatabaseJob, payload: ScoreLeads) -> Completion:
    """Score a batch of leads by the organization's rules and write it back with one statement."""
    organization_id, session = job.claim.organization_id, job.session
    context = context_of(session, organization_id)
    batch = _lock(session, organization_id, payload, context.fields)
    if not batch.ids:
        return Completion(_summary(payload, batch, None, context), quantity=0)
    scores = score_batch(session, organization_id, batch, context)
    # Of leads taken by how long ago they were scored, one that is left as it was would be taken for ever.
    written = write_scores(session, batch, scores, context, touch=payload.all)
    return Completion(
        _summary(payload, batch, scores, context) | {"written": written}, quantity=len(batch.ids)
    )


def context_of(session: Session, organization_id: UUID) -> Context:
    """Return what scoring needs to know of the organization.

    Raises:
        PermanentJobError: The organization's rules are not valid.
    """
    try:
        return read_context(session, organization_id)
    except BrokenRulesError as error:
        raise PermanentJobError(str(error)) from error


def score_batch(session: Session, organization_id: UUID, batch: Batch, context: Context) -> Scores:
    """Score leads by their fields and by all they did."""
    events = read_events(session, organization_id, batch, context)
    table = LeadTable(batch.columns, events, len(batch.ids))
    return score_leads(context.rules, table, now=context.now.timestamp(), model=context.model)


def _lock(session: Session, organization_id: UUID, payload: ScoreLeads, fields: frozenset[str]) -> Batch:
    if payload.lead_ids is not None:
        return lock_named(session, organization_id, payload.lead_ids, fields)
    if payload.until is not None:
        return lock_range(session, organization_id, after=payload.after, until=payload.until, fields=fields)
    lock = lock_changed if payload.changed else lock_stalest
    return lock(session, organization_id, limit=payload.limit, fields=fields)


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
                "lead_id": batch.ids[row],
                "score": int(scores.score[row]),
                "grade": scores.grade[row],
                "reasons": scores.reasons[row],
            }
            for row in best
        ]
    return summary
