"""The body of `alerts.evaluate`."""

from sqlalchemy import select

from models.organization import Organization
from tasks.alerting.finding import (
    account_findings,
    cadence_findings,
    dead_letter_findings,
    quota_findings,
)
from tasks.alerting.reading import account_states, dead_letters, quota_uses
from tasks.alerting.store import give_up_stranded, lock, settle, tell
from tasks.catalog import EVALUATE_ALERTS
from tasks.report_payloads import EvaluateAlerts
from tasks.upkeep import now_of
from worker.context import Completion, DatabaseJob
from worker.job import runs


@runs(EVALUATE_ALERTS)
def evaluate(job: DatabaseJob, payload: EvaluateAlerts) -> Completion:  # noqa: ARG001 - there is nothing to ask for
    """Raise and resolve alerts; who is told of them commits in the same transaction."""
    session, organization_id = job.session, job.claim.organization_id
    lock(session, organization_id)
    now = now_of(session)
    zone = session.scalars(
        select(Organization.time_zone).where(Organization.organization_id == organization_id)
    ).one()
    accounts = account_states(session, now)
    findings = [
        *quota_findings(quota_uses(session, now)),
        *account_findings(accounts, now, zone),
        *dead_letter_findings(dead_letters(session), now, zone),
        *cadence_findings(accounts, now, zone),
    ]
    changes = settle(session, organization_id, findings, now)
    return Completion(
        {
            "holding": len(findings),
            "raised": len(changes.raised),
            "resolved": len(changes.resolved),
            "came_back": changes.came_back,
            "deliveries": tell(session, changes, now),
            "given_up": give_up_stranded(session),
        }
    )
