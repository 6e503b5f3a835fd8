"""Dead letters of every organization, and requeueing them in somebody's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select, text

from intake.views.dead_letter import DeadLetterGroup, group_dead_letters
from models.job import DeadLetter
from models.organization import Tenant
from models.session import Database, RelayDatabase, relay_session, tenant_session
from worker.dead_letter import DeadLetterFilter, Requeued, count_dead, requeue_dead
from worker.publish import Publisher

MOST_GROUPS = 200
MOST_REQUEUED = 1_000_000
AUDIT = text("SELECT app.audit('dead_letters.requeue', NULL, CAST(:detail AS jsonb))")


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one organization, kind and error; of the error only the fingerprint is known here."""

    organization_id: UUID
    kind: str
    fingerprint: str
    count: int
    last_died_at: datetime


def survey_dead(relay: RelayDatabase, *, limit: int = MOST_GROUPS) -> list[DeadGroup]:
    """Count dead letters of every organization, kind and error, what died last first."""
    key = (DeadLetter.organization_id, DeadLetter.kind, DeadLetter.fingerprint)
    died = func.max(DeadLetter.died_at)
    groups = select(*key, func.count(), died).group_by(*key).order_by(died.desc()).limit(limit)
    with relay_session(relay) as session:
        return [DeadGroup(*row) for row in session.execute(groups)]


def count_all_dead(relay: RelayDatabase) -> int:
    """Return how many dead letters there are, of all organizations."""
    with relay_session(relay) as session:
        return session.scalars(select(func.count()).select_from(DeadLetter)).one()


def groups_of(database: Database, organization_id: UUID) -> Sequence[DeadLetterGroup]:
    """Count an organization's dead letters by kind and error, with an example of each error."""
    with tenant_session(database, organization_id) as session:
        return [
            DeadLetterGroup.model_validate(row) for row in group_dead_letters(session, DeadLetterFilter())
        ]


def requeue_as(  # noqa: PLR0913 - whom, what and how
    database: Database,
    tenant: Tenant,
    wanted: DeadLetterFilter,
    *,
    actor: str,
    publisher: Publisher,
    limit: int = MOST_REQUEUED,
) -> Requeued:
    """Requeue what *wanted* finds; the audit log has who asked for it before anything happens."""
    named = {"kind": wanted.kind, "fingerprint": wanted.fingerprint, "since": wanted.since}
    detail: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    detail |= {"matched": count_dead(database, tenant, wanted), "limit": limit}
    with tenant_session(database, tenant.organization_id, actor=actor) as session:
        session.execute(AUDIT, {"detail": orjson.dumps(detail).decode()})
    return requeue_dead(database, tenant, wanted, limit=limit, publisher=publisher)
