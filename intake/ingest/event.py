"""Analytics events: one with a key is counted once, however often it is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator
from sqlalchemy import DateTime, Double, Text, Uuid, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine
from uuid_utils.compat import uuid7

from intake.ingest.fields import Attributes, Body, Day, Number, Short, unique
from intake.ingest.recordset import recordset
from models.analytics import AnalyticsEvent, AnalyticsEventKey
from tasks.analytics_amending import remove_events

MOST_EVENTS = 10_000
MOST_CORRECTIONS = 1_000


class PlainEvent(Body):
    """Something that happened."""

    name: Annotated[Short, Field(examples=["page_viewed"])]
    occurred_at: Annotated[Day, Field(description="With its zone; see `sent_at` for clocks that are wrong.")]
    visitor: Annotated[Short | None, Field(description="Whoever did it; unique visitors count these.")] = None
    value: Annotated[Number | None, Field(description="What it was worth; rollups sum it.")] = None
    campaign_id: UUID | None = None
    channel: Annotated[Short | None, Field(description="Where it came from.", examples=["bluesky"])] = None
    post_id: UUID | None = None
    attributes: Attributes = {}  # noqa: RUF012 - pydantic copies defaults


class EventBody(PlainEvent):
    """Something that happened, once."""

    key: Annotated[Short | None, Field(description="The same key again is the same event.")] = None


class EventBatch(Body):
    """Events in any order; late ones are counted where they belong."""

    sent_at: Annotated[
        Day | None,
        Field(description="What your clock said when you sent this: its error is taken off every event."),
    ] = None
    events: Annotated[tuple[EventBody, ...], Field(min_length=1, max_length=MOST_EVENTS)]


class Correction(Body):
    """What an event that was sent with a key should have been; null if it should not have been at all."""

    key: Short
    event: PlainEvent | None


class CorrectionBatch(Body):
    """Corrections, at most one of each event."""

    corrections: Annotated[tuple[Correction, ...], Field(min_length=1, max_length=MOST_CORRECTIONS)]

    @model_validator(mode="after")
    def each_once(self) -> Self:
        """Refuse two corrections of one event: which one would win?"""
        unique("key", [correction.key for correction in self.corrections])
        return self


@dataclass(frozen=True, slots=True)
class Received:
    recorded: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Corrected:
    replaced: int
    removed: int
    unknown: Sequence[str]
    """Keys that never came, or whose event is not kept any more."""


_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "id": Uuid(),
    "name": Text(),
    "occurred_at": DateTime(timezone=True),
    "visitor": Text(),
    "value": Double(),
    "campaign_id": Uuid(),
    "channel": Text(),
    "post_id": Uuid(),
    "attributes": JSONB(),
}


def record_events(session: Session, organization_id: UUID, batch: EventBatch) -> Received:
    """Record the events whose keys are new, and those without a key. Of two with one key the first counts."""
    places = {event.key: at for at, event in reversed(list(enumerate(batch.events))) if event.key is not None}
    ids = [uuid7() for _ in batch.events]
    keyed = [(key, ids[at], batch.events[at].occurred_at) for key, at in places.items()]
    taken = _take_keys(session, organization_id, keyed)
    wanted = [
        (ids[at], event)
        for at, event in enumerate(batch.events)
        if event.key is None or (event.key in taken and places[event.key] == at)
    ]
    _insert(session, organization_id, wanted)
    return Received(recorded=len(wanted), duplicates=len(batch.events) - len(wanted))


def correct_events(session: Session, organization_id: UUID, batch: CorrectionBatch) -> Corrected:
    """Replace or remove events that came with a key; the rest of the batch is reported as unknown."""
    asked = {correction.key: correction.event for correction in batch.corrections}
    known = remove_events(session, organization_id, list(asked))
    replaced = {key: (uuid7(), event) for key, event in asked.items() if event is not None and key in known}
    _insert(session, organization_id, list(replaced.values()))
    if known:
        _point_keys(session, {key: replaced.get(key) for key in sorted(known)})
    return Corrected(
        replaced=len(replaced),
        removed=len(known) - len(replaced),
        unknown=[key for key in asked if key not in known],
    )


def _take_keys(
    session: Session, organization_id: UUID, keyed: Sequence[tuple[str, UUID, datetime]]
) -> set[str]:
    """Return the keys nobody had taken. In order, so that two batches never wait for each other crosswise."""
    if not keyed:
        return set()
    given = _unnest_keys(keyed)
    values = [literal(organization_id, Uuid()), given.key, given.event_id, given.occurred_at]
    statement = (
        insert(AnalyticsEventKey)
        .from_select(
            ["organization_id", "key", "event_id", "occurred_at"], select(*values).order_by(given.key)
        )
        .on_conflict_do_nothing()
        .returning(AnalyticsEventKey.key)
    )
    return set(session.scalars(statement))


def _point_keys(session: Session, found: Mapping[str, tuple[UUID, PlainEvent] | None]) -> None:
    """Let keys point at the events that replace theirs, or at none."""
    places = [
        (key, place[0], place[1].occurred_at) if place else (key, None, None) for key, place in found.items()
    ]
    given = _unnest_keys(places)
    statement = (
        update(AnalyticsEventKey)
        .where(AnalyticsEventKey.key == given.key)
        .values(
            event_id=given.event_id,
            occurred_at=func.coalesce(given.occurred_at, AnalyticsEventKey.occurred_at),
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(statement)


def _unnest_keys(places: Sequence[tuple[str, UUID | None, datetime | None]]) -> Any:
    """Return keys with the places of their events as something to select from."""
    keys, ids, moments = zip(*places, strict=True)
    return (
        func.unnest(
            literal(list(keys), ARRAY(Text())),
            literal(list(ids), ARRAY(Uuid())),
            literal(list(moments), ARRAY(DateTime(timezone=True))),
        )
        .table_valued("key", "event_id", "occurred_at", name="given")
        .render_derived()
        .c
    )


def _insert(session: Session, organization_id: UUID, events: Sequence[tuple[UUID, PlainEvent]]) -> None:
    if not events:
        return
    rows = [event.model_dump(mode="json", exclude={"key"}) | {"id": str(name)} for name, event in events]
    given = recordset(rows, _COLUMNS).c
    values = {"organization_id": literal(organization_id, Uuid()), **{name: given[name] for name in _COLUMNS}}
    statement = insert(AnalyticsEvent).from_select(
        list(values), select(*values.values()), include_defaults=False
    )
    session.execute(statement)
