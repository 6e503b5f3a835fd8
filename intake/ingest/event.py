"""Analytics events: one with a key is counted once, however often it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlalchemy import DateTime, Double, Text, Uuid, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from intake.ingest.fields import Attributes, Body, Moment, Number, Short
from intake.ingest.recordset import recordset
from models.analytics import AnalyticsEvent, AnalyticsEventKey

MOST_EVENTS = 10_000


class EventBody(Body):
    """Something that happened."""

    key: Annotated[Short | None, Field(description="The same key again is the same event.")] = None
    name: Annotated[Short, Field(examples=["page_viewed"])]
    occurred_at: Moment
    visitor: Annotated[Short | None, Field(description="Whoever did it; unique visitors count these.")] = None
    value: Annotated[Number | None, Field(description="What it was worth; rollups sum it.")] = None
    campaign_id: UUID | None = None
    attributes: Attributes = {}  # noqa: RUF012 - pydantic copies defaults


class EventBatch(Body):
    """Events in any order; late ones are counted where they belong."""

    events: Annotated[tuple[EventBody, ...], Field(min_length=1, max_length=MOST_EVENTS)]


@dataclass(frozen=True, slots=True)
class Received:
    recorded: int
    duplicates: int


_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "name": Text(),
    "occurred_at": DateTime(timezone=True),
    "visitor": Text(),
    "value": Double(),
    "campaign_id": Uuid(),
    "attributes": JSONB(),
}


def record_events(session: Session, organization_id: UUID, batch: EventBatch) -> Received:
    """Record the events whose keys are new, and those without a key."""
    keyed = {event.key: event for event in batch.events if event.key is not None}
    fresh = _take_keys(session, organization_id, list(keyed))
    wanted = [keyed[key] for key in fresh] + [event for event in batch.events if event.key is None]
    if wanted:
        _insert(session, organization_id, wanted)
    return Received(recorded=len(wanted), duplicates=len(batch.events) - len(wanted))


def _take_keys(session: Session, organization_id: UUID, keys: list[str]) -> list[str]:
    """Return the keys nobody had taken. In order, so that two batches never wait for each other crosswise."""
    if not keys:
        return []
    key = func.unnest(literal(keys, ARRAY(Text()))).column_valued("key")
    statement = (
        insert(AnalyticsEventKey)
        .from_select(["organization_id", "key"], select(literal(organization_id, Uuid()), key).order_by(key))
        .on_conflict_do_nothing()
        .returning(AnalyticsEventKey.key)
    )
    return list(session.scalars(statement))


def _insert(session: Session, organization_id: UUID, events: list[EventBody]) -> None:
    given = recordset([event.model_dump(mode="json") for event in events], _COLUMNS).c
    values = {"organization_id": literal(organization_id, Uuid()), **{name: given[name] for name in _COLUMNS}}
    statement = insert(AnalyticsEvent).from_select(
        list(values), select(*values.values()), include_defaults=False
    )
    session.execute(statement)
