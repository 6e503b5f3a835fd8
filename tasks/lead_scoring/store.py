"""Leads and their events in the database: read a batch, write it back in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import orjson
from sqlalchemy import (
    ARRAY,
    JSON,
    CursorResult,
    Date,
    Double,
    Text,
    Uuid,
    bindparam,
    cast,
    column,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from models.lead import Lead, LeadEvent
from tasks.lead_scoring.context import Context
from tasks.lead_scoring.engagement import EventTable
from tasks.lead_scoring.fit import Column
from tasks.lead_scoring.score import Scores

OWN_COLUMNS = (
    "email",
    "first_name",
    "last_name",
    "company",
    "job_title",
    "phone",
    "source",
    "status",
)
"""Fields that are columns of a lead; every other field is one of its attributes."""

EPOCH = date(1970, 1, 1)

FRESH = ("id", "score", "fit", "engagement", "grade", "bucket", "reasons")
"""Fields of one scored lead on its way to the database."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Leads to score, locked until the transaction ends."""

    ids: list[UUID]
    columns: Mapping[str, Column]


def lock_named(
    session: Session, organization_id: UUID, lead_ids: Sequence[UUID], fields: frozenset[str]
) -> Batch:
    """Lock the leads that exist among *lead_ids*, in the order of ids: two jobs never lock crosswise."""
    wanted = cast(bindparam("lead_ids", list(lead_ids)), ARRAY(Uuid))
    statement = (
        _reading(organization_id)
        .where(Lead.id == func.any(wanted))
        .order_by(Lead.id)
        .with_for_update(key_share=True)
    )
    return _batch(session.execute(statement).all(), fields)


def lock_stalest(session: Session, organization_id: UUID, *, limit: int, fields: frozenset[str]) -> Batch:
    """Lock the leads scored longest ago, never scored ones first; those another job has now stay its own."""
    statement = (
        _reading(organization_id)
        .order_by(Lead.last_scored_at.asc().nulls_first(), Lead.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return _batch(session.execute(statement).all(), fields)


def _reading(organization_id: UUID) -> Any:
    own = [getattr(Lead, name) for name in OWN_COLUMNS]
    return select(Lead.id, Lead.attributes, *own).where(
        Lead.organization_id == organization_id, Lead.deleted_at.is_(None)
    )


def _batch(rows: Sequence[Any], fields: frozenset[str]) -> Batch:
    columns: dict[str, Column] = {}
    for field in fields:
        if field in OWN_COLUMNS:
            place = 2 + OWN_COLUMNS.index(field)
            columns[field] = [row[place] for row in rows]
        else:
            columns[field] = [row[1].get(field) for row in rows]
    return Batch(ids=[row[0] for row in rows], columns=columns)


def read_events(session: Session, organization_id: UUID, batch: Batch, context: Context) -> EventTable:
    """Return every event of the batch's leads that counts; days are the organization's own."""
    rules = context.rules.event_rules
    ids = cast(bindparam("ids", batch.ids), ARRAY(Uuid))
    lead = func.unnest(ids).table_valued("id", with_ordinality="place", name="lead").render_derived()
    rule = (
        func.unnest(cast(bindparam("names", [rule.event for rule in rules]), ARRAY(Text)))
        .table_valued("name", with_ordinality="place", name="rule")
        .render_derived()
    )
    day = cast(func.timezone(context.time_zone, LeadEvent.occurred_at), Date) - EPOCH
    rule_place = func.coalesce(rule.c.place, len(rules))
    statement = (
        select(
            func.array_agg(lead.c.place - 1),
            func.array_agg(rule_place - 1),
            func.array_agg(cast(func.extract("epoch", LeadEvent.occurred_at), Double)),
            func.array_agg(day),
            func.array_agg(LeadEvent.points),
        )
        .select_from(LeadEvent)
        .join(lead, LeadEvent.lead_id == lead.c.id)
        .outerjoin(rule, LeadEvent.name == rule.c.name)
        .where(
            LeadEvent.organization_id == organization_id,
            LeadEvent.lead_id == func.any(ids),
            rule.c.name.is_not(None) | LeadEvent.points.is_not(None),
        )
    )
    leads, places, moments, days, points = session.execute(statement).one()
    return EventTable(
        lead=np.array(leads or [], dtype=np.int64),
        rule=np.array(places or [], dtype=np.int64),
        at=np.array(moments or [], dtype=np.float64),
        day=np.array(days or [], dtype=np.int64),
        points=np.array(points or [], dtype=np.float64),
    )


def write_scores(
    session: Session, organization_id: UUID, batch: Batch, scores: Scores, context: Context
) -> int:
    """Write a batch back with one statement; return how many leads it changed."""
    fresh = (
        func.json_to_recordset(cast(bindparam("fresh", _document(batch, scores)), JSON))
        .table_valued(
            column("id", Uuid),
            column("score", Double),
            column("fit", Double),
            column("engagement", Double),
            column("grade", Text),
            column("bucket", Text),
            column("reasons", JSONB),
            name="fresh",
        )
        .render_derived(with_types=True)
    )
    statement = (
        update(Lead)
        .where(
            Lead.organization_id == organization_id,
            Lead.id == func.any(cast(bindparam("ids", batch.ids), ARRAY(Uuid))),
            Lead.id == fresh.c.id,
        )
        .values(
            score=fresh.c.score,
            fit=fresh.c.fit,
            engagement=fresh.c.engagement,
            engagement_at=context.now,
            grade=fresh.c.grade,
            bucket=fresh.c.bucket,
            reasons=fresh.c.reasons,
            rules_version=context.rules.version,
            last_scored_at=context.now,
        )
        .execution_options(synchronize_session=False)
    )
    result = session.execute(statement)
    assert isinstance(result, CursorResult)
    return result.rowcount


def _document(batch: Batch, scores: Scores) -> str:
    """Return the scores as one JSON text, which the driver writes ten times faster than arrays of texts."""
    rows = zip(
        batch.ids,
        scores.score.tolist(),
        scores.fit.tolist(),
        scores.engagement.tolist(),
        scores.grade,
        scores.bucket,
        scores.reasons,
        strict=True,
    )
    return orjson.dumps([dict(zip(FRESH, row, strict=True)) for row in rows]).decode()
