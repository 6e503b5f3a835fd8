"""Alerts in the database: raised once a period, resolved when their condition ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from models.alert import Alert, AlertCondition, AlertDelivery, DeliveryEvent, DeliveryState
from models.job import Job, JobState
from models.organization import Organization
from tasks.alert_delivery import body_of, receivers_of, record_delivery
from tasks.alerting.finding import Finding


@dataclass(slots=True)
class Changes:
    """What became of the alerts."""

    raised: list[Alert] = field(default_factory=list)
    resolved: list[Alert] = field(default_factory=list)
    came_back: int = 0
    """Alerts that hold again in the period for which they were raised: nobody is told twice."""


def lock(session: Session, organization_id: UUID) -> None:
    """Let one evaluation of the organization go at a time; rows that refer to it can be written meanwhile."""
    statement = select(Organization.organization_id).where(Organization.organization_id == organization_id)
    session.execute(statement.with_for_update(key_share=True))


def settle(session: Session, organization_id: UUID, findings: Sequence[Finding], now: datetime) -> Changes:
    """Make the open alerts those of *findings*; the caller holds the lock."""
    changes = Changes()
    query = select(Alert).where(Alert.resolved_at.is_(None)).order_by(Alert.id)
    open_alerts = {(alert.condition, alert.subject): alert for alert in session.scalars(query)}
    holding = {(finding.condition.value, finding.subject): finding for finding in findings}
    for key, alert in open_alerts.items():
        if key not in holding or _is_over(alert, holding[key]):
            alert.resolved_at = now
            changes.resolved.append(alert)
    session.flush()
    for key, finding in holding.items():
        if key not in open_alerts or open_alerts[key] in changes.resolved:
            _raise(session, organization_id, finding, changes)
    return changes


def _is_over(alert: Alert, finding: Finding) -> bool:
    """Tell whether the alert's own billing period has ended, while the new one has reached the mark as well.

    Other conditions have one alert for as long as they last: their periods only say when to tell again.
    """
    return alert.condition == AlertCondition.QUOTA and alert.period_start != finding.period_start


def _raise(session: Session, organization_id: UUID, finding: Finding, changes: Changes) -> None:
    statement = insert(Alert).values(
        organization_id=organization_id,
        condition=finding.condition.value,
        subject=finding.subject,
        period_start=finding.period_start,
        severity=finding.severity.value,
        title=finding.title,
        evidence=list(finding.evidence),
    )
    again: ReturningInsert[UUID, bool] = statement.on_conflict_do_update(
        index_elements=["organization_id", "condition", "subject", "period_start"],
        set_={"resolved_at": None, "recurrences": Alert.recurrences + 1},
    ).returning(Alert.id, literal_column("xmax = 0", Boolean).label("fresh"))
    row = session.execute(again).one()
    if not row.fresh:
        changes.came_back += 1
        return
    changes.raised.append(session.scalars(select(Alert).where(Alert.id == row.id)).one())


def tell(session: Session, changes: Changes, now: datetime) -> int:
    """Record a delivery of each change to each receiver; return how many."""
    told = 0
    for event, alerts in (
        (DeliveryEvent.RESOLVED, changes.resolved),
        (DeliveryEvent.RAISED, changes.raised),
    ):
        for alert in alerts:
            body = body_of(event, now, shown(alert))
            for receiver in receivers_of(session, alert.condition):
                record_delivery(session, receiver, event, body, alert_id=alert.id)
                told += 1
    return told


def shown(alert: Alert) -> dict[str, Any]:
    """Return what is told of an alert."""
    return {
        "id": str(alert.id),
        "organization_id": str(alert.organization_id),
        "condition": alert.condition,
        "subject": alert.subject,
        "severity": alert.severity,
        "title": alert.title,
        "evidence": alert.evidence,
        "period_start": alert.period_start.isoformat(),
        "raised_at": alert.raised_at.isoformat(),
        "resolved_at": alert.resolved_at and alert.resolved_at.isoformat(),
    }


def give_up_stranded(session: Session) -> int:
    """Mark deliveries whose job ended without saying so: its worker was killed in the last attempt, say."""
    ended = (
        select(Job.id)
        .where(Job.id == AlertDelivery.job_id, Job.organization_id == AlertDelivery.organization_id)
        .where(Job.state.in_((JobState.DEAD, JobState.CANCELLED)))
        .exists()
    )
    statement = (
        update(AlertDelivery)
        .where(AlertDelivery.ended_at.is_(None), ended)
        .values(
            state=DeliveryState.FAILED.value,
            ended_at=func.now(),
            error=func.coalesce(AlertDelivery.error, "its job ended before it was delivered"),
        )
        .returning(AlertDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(session.execute(statement).all())
