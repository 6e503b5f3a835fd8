"""Record deliveries of alerts, each with the job that brings it there, in the caller's transaction."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from models.alert import AlertDelivery, DeliveryEvent, EmailRecipient, ReceiverMixin, WebhookEndpoint
from tasks.catalog import DELIVER_ALERT
from tasks.report_payloads import DeliverAlert

Receiver = WebhookEndpoint | EmailRecipient

RECORD_JOB = text("SELECT app.record_platform_job(:tenant, :made, :job, NULL, :request)")
"""Takes nothing of the tenant's quota: an alert that the quota is used up must get through."""


def receivers_of(session: Session, condition: str) -> Sequence[Receiver]:
    """Return whoever wants to hear of *condition*."""
    found: list[Receiver] = []
    for table in (WebhookEndpoint, EmailRecipient):
        query = select(table).where(~table.paused).order_by(table.id)
        found += session.scalars(query)
    return [one for one in found if not one.conditions or condition in one.conditions]


def body_of(event: DeliveryEvent, at: datetime, data: dict[str, Any]) -> str:
    """Return what is sent: type, moment and data, as webhooks have it."""
    content = {"type": event.value, "timestamp": at.isoformat(), "data": data}
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()


def record_delivery(
    session: Session, receiver: ReceiverMixin, event: DeliveryEvent, body: str, *, alert_id: UUID | None
) -> UUID:
    """Record that *receiver* is to be told and return the delivery's id; the relay publishes the job."""
    delivery_id, job_id = uuid7(), uuid7()
    to = "endpoint_id" if isinstance(receiver, WebhookEndpoint) else "recipient_id"
    session.execute(
        insert(AlertDelivery).values(
            organization_id=receiver.organization_id,
            id=delivery_id,
            alert_id=alert_id,
            event=event.value,
            body=body,
            job_id=job_id,
            **{to: receiver.id},
        )
    )
    job = {
        "kind": DELIVER_ALERT.name,
        "lane": DELIVER_ALERT.lane.value,
        "payload": DeliverAlert(delivery_id=delivery_id).model_dump(mode="json"),
        "priority": 0,
        "max_attempts": DELIVER_ALERT.max_attempts,
    }
    request = f"delivery/{delivery_id}"
    arguments = {"tenant": receiver.organization_id, "made": job_id, "job": Jsonb(job), "request": request}
    session.execute(RECORD_JOB, arguments)
    return delivery_id
