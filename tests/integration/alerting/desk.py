"""Records deliveries of one tenant and runs attempts at them, as a worker does."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import select
from uuid_utils.compat import uuid7

from models.alert import (
    AlertDelivery,
    DeliveryAttempt,
    DeliveryEvent,
    EmailRecipient,
    ReceiverMixin,
    WebhookEndpoint,
)
from models.organization import Tenant
from models.session import Database, tenant_session
from tasks.alert_delivery import body_of, record_delivery
from tasks.alerting.deliver import deliver
from tasks.catalog import DELIVER_ALERT
from tasks.report_payloads import DeliverAlert
from tasks.signature import new_secret
from tasks.vault import Place, get_vault
from worker.context import Claim, Completion, OutsideJob

AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


class Desk:
    def __init__(self, database: Database, tenant: Tenant) -> None:
        self.database = database
        self.tenant = tenant
        self._own = tenant.organization_id

    def endpoint(self, url: str) -> tuple[WebhookEndpoint, str]:
        row, secret = WebhookEndpoint(organization_id=self._own, id=uuid7(), url=url), new_secret()
        row.secret_encrypted = get_vault().encrypt(
            secret, Place(self._own, "webhook_endpoints", "secret_encrypted", row.id)
        )
        return self._keep(row), secret

    def recipient(self, email: str = "Ann@example.org") -> EmailRecipient:
        return self._keep(EmailRecipient(organization_id=self._own, email=email, email_norm=email.lower()))

    def _keep(self, row: Any) -> Any:
        with tenant_session(self.database, self._own) as session:
            session.add(row)
        return row

    def record(self, to: ReceiverMixin, title: str = "posts_month has reached 80 %") -> UUID:
        evidence = [{"metric": "posts_month", "value": 240, "comparison": ">=", "threshold": 240}]
        body = body_of(DeliveryEvent.RAISED, AT, {"title": title, "evidence": evidence})
        with tenant_session(self.database, self._own) as session:
            return record_delivery(session, to, DeliveryEvent.RAISED, body, alert_id=None)

    def attempt(self, delivery_id: UUID, number: int = 1) -> Completion:
        claim = Claim(
            organization_id=self._own,
            job_id=uuid7(),
            kind=DELIVER_ALERT.name,
            attempt=number,
            max_attempts=DELIVER_ALERT.max_attempts,
            payload={},
            created_at=AT,
        )
        job = OutsideJob(claim, partial(tenant_session, self.database, self._own), lambda: None)
        return deliver(job, DeliverAlert(delivery_id=delivery_id))

    def find(self, delivery_id: UUID) -> AlertDelivery:
        with tenant_session(self.database, self._own) as session:
            return session.scalars(select(AlertDelivery).where(AlertDelivery.id == delivery_id)).one()

    def log(self, delivery_id: UUID) -> list[tuple[int, int | None]]:
        """Return number and status of each attempt."""
        query = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id)
        with tenant_session(self.database, self._own) as session:
            return [(row.attempt, row.status) for row in session.scalars(query.order_by(DeliveryAttempt.id))]
