"""Take analytics events in: batches in any order, late ones too, and each key once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, DateTime, Double, Text, Uuid, bindparam, cast, func, insert, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from models.analytics import AnalyticsEvent, AnalyticsEventKey


@dataclass(frozen=True, slots=True)
class NewEvent:
    """One event as it came in."""

    name: str
    occurred_at: datetime
    visitor: str | None = None
    value: float | None = None
    campaign_id: UUID | None = None
    key: str | None = None
    """The event's id in the tenant's own system: the same one again is left out."""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def record_events(session: Session, organization_id: UUID, events: Sequence[NewEvent]) -> int:
    """Store the events whose keys are new and return how many; the rest are duplicates."""
    new = _without_duplicates(session, organization_id, events)
    if new:
        _insert(session, organization_id, new)
    return len(new)


def _without_duplicates(
    session: Session, organization_id: UUID, events: Sequence[NewEvent]
) -> list[NewEvent]:
    """Claim the keys, in their order, so that two batches with the same ones never lock crosswise."""
    by_key = {event.key: event for event in reversed(events) if event.key is not None}
    keyless = [event for event in events if event.key is None]
    if not by_key:
        return keyless
    key = func.unnest(cast(bindparam("keys", sorted(by_key)), ARRAY(Text))).column_valued("key")
    statement = (
        insert_or(AnalyticsEventKey)
        .from_select(["organization_id", "key"], select(literal(organization_id, Uuid), key))
        .on_conflict_do_nothing()
        .returning(AnalyticsEventKey.key)
    )
    return keyless + [by_key[claimed] for claimed in session.execute(statement).scalars()]


def _insert(session: Session, organization_id: UUID, events: Sequence[NewEvent]) -> None:
    columns: dict[str, tuple[TypeEngine[Any], list[Any]]] = {
        "occurred_at": (DateTime(timezone=True), [event.occurred_at for event in events]),
        "name": (Text(), [event.name for event in events]),
        "visitor": (Text(), [event.visitor for event in events]),
        "value": (Double(), [event.value for event in events]),
        "campaign_id": (Uuid(), [event.campaign_id for event in events]),
        "attributes": (Text(), [orjson.dumps(dict(event.attributes)).decode() for event in events]),
    }
    arrays = [cast(bindparam(name, values), ARRAY(kind)) for name, (kind, values) in columns.items()]
    row = func.unnest(*arrays).table_valued(*columns, name="incoming").render_derived()
    plain = [row.c[name] for name in columns if name != "attributes"]
    chosen = select(literal(organization_id, Uuid), *plain, cast(row.c.attributes, JSONB))
    session.execute(insert(AnalyticsEvent).from_select(["organization_id", *columns], chosen))
