"""The body of `leads.try_rules`: what would change, without writing anything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.lead import Lead
from tasks.catalog import TRY_RULES
from tasks.lead_scoring.context import Context
from tasks.lead_scoring.job import context_of, score_batch
from tasks.lead_scoring.store import Batch, read_range
from tasks.payloads import LEADS_PER_JOB
from tasks.scoring_payloads import TryRules
from tasks.scoring_rules import RuleSet
from worker.context import Completion, DatabaseJob
from worker.job import runs

SHOWN_MOVERS = 20


@dataclass(slots=True)
class Difference:
    """How scores would differ from those that stand."""

    leads: int = 0
    never_scored: int = 0
    changed: int = 0
    up: int = 0
    down: int = 0
    grades: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Leads by grade before and after."""
    buckets: Counter[tuple[str, str]] = field(default_factory=Counter)
    movers: list[dict[str, Any]] = field(default_factory=list)
    """The leads that move most."""

    def report(self) -> dict[str, Any]:
        """Return the result of the job."""
        return {
            "leads": self.leads,
            "never_scored": self.never_scored,
            "changed": self.changed,
            "up": self.up,
            "down": self.down,
            "grades": _sides(self.grades),
            "buckets": _sides(self.buckets),
            "movers": self.movers,
        }


@runs(TRY_RULES)
def try_rules(job: DatabaseJob, payload: TryRules) -> Completion:
    """Score the newest leads by rules that are not in force and compare."""
    organization_id, session = job.claim.organization_id, job.session
    context = context_of(session, organization_id)
    in_force = context.rules.version
    if payload.rules is not None:
        rules = RuleSet.model_validate(payload.rules.model_dump() | {"version": in_force + 1})
        context = replace(context, rules=rules)
    difference = compare(session, organization_id, context, most=payload.leads)
    warnings = context.rules.warnings()
    return Completion(difference.report() | {"compared_with_version": in_force, "warnings": warnings})


def compare(session: Session, organization_id: UUID, context: Context, *, most: int) -> Difference:
    """Score the *most* newest leads a batch at a time and compare with what stands."""
    found = Difference()
    last: str | None = None
    while found.leads < most:
        limit = min(LEADS_PER_JOB, most - found.leads)
        batch = read_range(session, organization_id, before=last, limit=limit, fields=context.fields)
        if not batch.ids:
            break
        _compare_batch(session, organization_id, context, batch, found)
        last = batch.ids[-1]
    return found


def _compare_batch(
    session: Session, organization_id: UUID, context: Context, batch: Batch, found: Difference
) -> None:
    before = standing(session, organization_id, batch)
    scores = score_batch(session, organization_id, batch, context)
    moved = []
    for row, (lead_id, score) in enumerate(zip(batch.ids, scores.score.tolist(), strict=True)):
        was, grade, bucket, reasons = before[lead_id]
        found.leads += 1
        found.never_scored += grade is None
        found.changed += score != was or scores.grade[row] != grade
        found.up += score > was
        found.down += score < was
        found.grades[grade or "none", scores.grade[row]] += 1
        found.buckets[bucket or "none", scores.bucket[row]] += 1
        if score != was:
            moved.append((abs(score - was), row, was, reasons))
    found.movers = nlargest(
        SHOWN_MOVERS,
        found.movers
        + [
            {
                "lead_id": batch.ids[row],
                "before": was,
                "after": int(scores.score[row]),
                "moved": int(scores.score[row] - was),
                "reasons_before": reasons,
                "reasons_after": scores.reasons[row],
            }
            for _, row, was, reasons in nlargest(SHOWN_MOVERS, moved, key=lambda one: one[0])
        ],
        key=lambda mover: abs(mover["moved"]),
    )


Standing = tuple[float, str | None, str | None, list[Any]]
"""Score, grade, bucket and reasons as they are recorded."""


def standing(session: Session, organization_id: UUID, batch: Batch) -> Mapping[str, Standing]:
    """Return the scores that stand, by the id of the lead."""
    columns = (Lead.id, Lead.score, Lead.grade, Lead.bucket, Lead.reasons)
    chosen = select(*columns).where(
        Lead.organization_id == organization_id, Lead.id == func.any([UUID(lead_id) for lead_id in batch.ids])
    )
    return {
        str(lead_id): (score, grade, bucket, reasons)
        for lead_id, score, grade, bucket, reasons in session.execute(chosen)
    }


def _sides(moves: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return how many leads are where before and after, and how many go from where to where."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for (old, new), count in moves.items():
        before[old] += count
        after[new] += count
    return {
        "before": dict(sorted(before.items())),
        "after": dict(sorted(after.items())),
        "moves": {f"{old} > {new}": count for (old, new), count in sorted(moves.items()) if old != new},
    }
