"""Leads and their events in the database: read a batch a column at a time, write it back in one statement.

Values travel as whole columns, in both directions: a driver that makes an object of each cell takes longer
than the scoring.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    Date,
    Double,
    Select,
    Text,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Session
from sqlalchemy.types import UserDefinedType

from models.lead import Lead, LeadEvent
from models.scoring import LeadChange
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Leads to score, locked until the transaction ends if they are to be written."""

    ids: Sequence[str]
    columns: Mapping[str, Column]


def lock_named(
    session: Session, organization_id: UUID, lead_ids: Iterable[UUID], fields: frozenset[str]
) -> Batch:
    """Lock the leads that exist among *lead_ids*, in the order of ids: two jobs never lock crosswise."""
    wanted = _ids([str(lead_id) for lead_id in lead_ids])
    return _read(session, _locked(_living(organization_id).where(Lead.id == func.any(wanted))), fields)


def lock_changed(session: Session, organization_id: UUID, *, limit: int, fields: frozenset[str]) -> Batch:
    """Take the marks of leads that changed, the oldest first, and lock the leads; not what others hold."""
    owner, lead_id = LeadChange.organization_id, LeadChange.lead_id
    oldest = (
        select(owner, lead_id)
        .where(owner == organization_id)
        .order_by(LeadChange.changed_at, lead_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = session.scalars(
        delete(LeadChange)
        .where(owner == organization_id, tuple_(owner, lead_id).in_(oldest))
        .returning(lead_id)
        .execution_options(synchronize_session=False)
    )
    return lock_named(session, organization_id, taken, fields)


def lock_range(
    session: Session, organization_id: UUID, *, after: UUID | None, until: UUID, fields: frozenset[str]
) -> Batch:
    """Lock the leads whose ids lie after *after* and not after *until*."""
    chosen = _living(organization_id).where(Lead.id <= until)
    return _read(session, _locked(chosen if after is None else chosen.where(Lead.id > after)), fields)


def lock_stalest(session: Session, organization_id: UUID, *, limit: int, fields: frozenset[str]) -> Batch:
    """Lock the leads scored longest ago, never scored ones first; those another job has now stay its own."""
    chosen = (
        _living(organization_id)
        .order_by(Lead.last_scored_at.asc().nulls_first(), Lead.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return _read(session, chosen, fields)


def read_range(
    session: Session, organization_id: UUID, *, before: str | None, limit: int, fields: frozenset[str]
) -> Batch:
    """Read leads without locking them, the newest first, from the one before *before*."""
    chosen = _living(organization_id).order_by(Lead.id.desc()).limit(limit)
    return _read(session, chosen if before is None else chosen.where(Lead.id < UUID(before)), fields)


def _living(organization_id: UUID) -> Select[Any]:
    own = [getattr(Lead, name) for name in OWN_COLUMNS]
    return select(Lead.id, Lead.attributes, *own).where(
        Lead.organization_id == organization_id, Lead.deleted_at.is_(None)
    )


def _locked(chosen: Select[Any]) -> Select[Any]:
    return chosen.order_by(Lead.id).with_for_update(key_share=True)


def _read(session: Session, chosen: Select[Any], fields: frozenset[str]) -> Batch:
    """Read the leads a column at a time, each as one JSON list."""
    lead = chosen.cte("lead").c
    names = sorted(fields)
    values = [lead[name] if name in OWN_COLUMNS else lead.attributes.op("->")(name) for name in names]
    ids, *columns = session.execute(
        select(cast(func.array_agg(lead.id), Text), *(func.json_agg(value, type_=JSON) for value in values))
    ).one()
    if ids is None:
        return Batch([], {})
    return Batch(ids[1:-1].split(","), dict(zip(names, columns, strict=True)))


def read_events(session: Session, organization_id: UUID, batch: Batch, context: Context) -> EventTable:
    """Return every event of the batch's leads that counts; days are the organization's own."""
    rules = context.rules.event_rules
    ids = _ids(batch.ids)
    lead = func.unnest(ids).table_valued("id", with_ordinality="place", name="lead").render_derived()
    rule = (
        func.unnest(cast(bindparam("names", [rule.event for rule in rules]), ARRAY(Text)))
        .table_valued("name", with_ordinality="place", name="rule")
        .render_derived()
    )
    day = cast(func.timezone(context.time_zone, LeadEvent.occurred_at), Date) - EPOCH
    values = (
        lead.c.place - 1,
        func.coalesce(rule.c.place, len(rules)) - 1,
        func.date_part("epoch", LeadEvent.occurred_at, type_=Double),
        day,
        LeadEvent.points,
    )
    statement = (
        select(*(func.json_agg(value, type_=JSON) for value in values))
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


def write_scores(session: Session, batch: Batch, scores: Scores, context: Context, *, touch: bool) -> int:
    """Write a batch back with one statement; return how many leads were written.

    Args:
        session: Bound to the leads' organization.
        batch: The leads.
        scores: Their scores, in the same order.
        context: What they were scored by.
        touch: Whether a lead whose score is what it was gets a new moment of scoring all the same.
    """
    write = func.app.write_lead_scores(
        _ids(batch.ids),
        literal(scores.score.tolist(), _Array("integer")),
        literal(scores.fit.tolist(), _Array("integer")),
        literal(scores.engagement.tolist(), _Array("integer")),
        literal(scores.grade, _Array("text")),
        literal(scores.bucket, _Array("text")),
        cast(scores.reasons, JSON),
        context.rules.version,
        context.model and context.model.version,
        context.now,
        touch,
    )
    written: int = session.scalars(select(write)).one()
    return written


class _Array(UserDefinedType[Iterable[Any]]):
    """An array of elements that need no quoting, written as one text: many times faster than one by one.

    The parameter itself has the array's type. A cast in the statement would be made again for every row.
    """

    cache_ok = True
    render_bind_cast = True

    def __init__(self, element: str) -> None:
        self.element = element

    def get_col_spec(self, **_: Any) -> str:
        return f"{self.element}[]"

    def bind_processor(self, dialect: Dialect) -> Callable[[Iterable[Any] | None], str | None]:  # noqa: ARG002
        return lambda values: None if values is None else "{" + ",".join(map(str, values)) + "}"


def _ids(ids: Sequence[str]) -> BindParameter[Any]:
    return literal(ids, _Array("uuid"))
