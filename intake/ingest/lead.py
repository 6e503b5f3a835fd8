"""Leads and their events as a tenant's own system knows them: sent again, they are the same ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, StrictBool, model_validator
from sqlalchemy import Boolean, DateTime, Double, Text, Uuid, bindparam, cast, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from intake.ingest.fields import Attributes, Body, Email, Moment, Number, Short, unique
from intake.ingest.recordset import recordset
from intake.lock import one_at_a_time
from models.base import EMPTY_OBJECT
from models.lead import Lead, LeadEvent, LeadStatus
from models.scoring import LeadChange
from tasks.payloads import LEADS_PER_JOB

MOST_EVENTS = 10_000
IMPORTING = "leads/import"
"""Imports of one organization wait for each other under this name."""


class LeadFields(Body):
    """What may be said of a lead."""

    email: Email | None = None
    first_name: Short | None = None
    last_name: Short | None = None
    company: Short | None = None
    job_title: Short | None = None
    phone: Short | None = None
    source: Short | None = None
    campaign_id: UUID | None = None
    attributes: Attributes = {}  # noqa: RUF012 - pydantic copies defaults
    converted_at: Moment | None = None


class LeadBody(LeadFields):
    """One lead. A field that is left out or null keeps the value it has; attributes are merged."""

    external_id: Annotated[Short, Field(description="Its id in your system; the same id is the same lead.")]
    status: LeadStatus | None = None
    converted: StrictBool | None = None

    def row(self) -> dict[str, Any]:
        """Return the row to unfold in the database."""
        row = self.model_dump(mode="json", exclude_none=True)
        if self.email is not None:
            row["email_norm"] = self.email.lower()
        return row


class LeadEdit(LeadFields):
    """What to change of a lead; a field that is left out stays, null empties it."""

    status: LeadStatus = LeadStatus.NEW
    converted: StrictBool = False


class LeadImport(Body):
    """Leads to create or to bring up to date."""

    leads: Annotated[tuple[LeadBody, ...], Field(min_length=1, max_length=LEADS_PER_JOB)]

    @model_validator(mode="after")
    def each_once(self) -> Self:
        """Refuse the same lead twice: which one would win?"""
        unique("external_id", [lead.external_id for lead in self.leads])
        return self


class LeadEventBody(Body):
    """Something a lead did, which engagement rules count."""

    lead: Annotated[Short, Field(description="The lead's external_id.")]
    name: Annotated[Short, Field(examples=["email_clicked", "demo_requested"])]
    occurred_at: Moment
    points: Annotated[Number | None, Field(description="Without it the rules decide.")] = None
    external_id: Annotated[
        Short | None, Field(description="Its id in your system; the same id is the same event.")
    ] = None
    attributes: Attributes = {}  # noqa: RUF012 - pydantic copies defaults


class LeadEventImport(Body):
    """Events of leads that were imported before."""

    events: Annotated[tuple[LeadEventBody, ...], Field(min_length=1, max_length=MOST_EVENTS)]

    @model_validator(mode="after")
    def each_once(self) -> Self:
        """Refuse the same event twice."""
        unique("external_id", [event.external_id for event in self.events if event.external_id is not None])
        return self


@dataclass(frozen=True, slots=True)
class Imported:
    created: int
    updated: int


@dataclass(frozen=True, slots=True)
class Recorded:
    recorded: int
    duplicates: int
    unknown: int
    """Events of leads that do not exist."""


_TEXTS = (
    "email",
    "email_norm",
    "first_name",
    "last_name",
    "company",
    "job_title",
    "phone",
    "source",
    "status",
)
_KEPT_WHEN_ABSENT: Mapping[str, TypeEngine[Any]] = {
    **dict.fromkeys(_TEXTS, Text()),
    "campaign_id": Uuid(),
    "converted": Boolean(),
    "converted_at": DateTime(timezone=True),
}
_LEAD_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "external_id": Text(),
    "attributes": JSONB(),
    **_KEPT_WHEN_ABSENT,
}
_EVENT_COLUMNS: Mapping[str, TypeEngine[Any]] = {
    "lead": Text(),
    "name": Text(),
    "occurred_at": DateTime(timezone=True),
    "points": Double(),
    "external_id": Text(),
    "attributes": JSONB(),
}


def import_leads(session: Session, organization_id: UUID, leads: LeadImport) -> Imported:
    """Create the leads that are new and bring the others up to date; all of them are to be scored again."""
    one_at_a_time(session, organization_id, IMPORTING)
    return write_leads(session, organization_id, leads.leads)


def write_leads(session: Session, organization_id: UUID, leads: Sequence[LeadBody]) -> Imported:
    """Create and update one batch; the caller is the only one of the organization to import now."""
    rows = {lead.external_id: lead.row() for lead in leads}
    known = _known(session, list(rows))
    mark_changed(session, organization_id, list(known.values()))
    _update(session, [row for external_id, row in rows.items() if external_id in known])
    created = _create(
        session, organization_id, [row for external_id, row in rows.items() if external_id not in known]
    )
    mark_changed(session, organization_id, created)
    return Imported(created=len(created), updated=len(known))


def mark_changed(session: Session, organization_id: UUID, lead_ids: Sequence[UUID]) -> None:
    """Mark leads to be scored again, before they are touched: see `LeadChange`.

    A mark that stands is written anew, not left: whoever scores now must not take it before we commit.
    """
    if not lead_ids:
        return
    lead_id = func.unnest(bindparam("marked", list(lead_ids), type_=ARRAY(Uuid()))).column_valued("lead_id")
    source = select(literal(organization_id, Uuid()), lead_id).distinct().order_by(lead_id)
    statement = insert(LeadChange).from_select(["organization_id", "lead_id"], source, include_defaults=False)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "lead_id"], set_={"changed_at": func.now()}
        )
    )


def _known(session: Session, external_ids: list[str]) -> dict[str | None, UUID]:
    """Return the ids of those leads that exist, deleted ones too."""
    wanted = cast(bindparam("wanted", external_ids), ARRAY(Text()))
    statement = (
        select(Lead.external_id, Lead.id)
        .where(Lead.external_id == func.any(wanted))
        .execution_options(include_deleted=True)
    )
    return dict(session.execute(statement).all())


def _update(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    given = recordset(rows, _LEAD_COLUMNS).c
    values = {name: func.coalesce(given[name], getattr(Lead, name)) for name in _KEPT_WHEN_ABSENT}
    statement = (
        update(Lead)
        .where(Lead.external_id == given.external_id)
        .values(
            **values,
            attributes=Lead.attributes.op("||")(func.coalesce(given.attributes, EMPTY_OBJECT)),
            deleted_at=None,
        )
        .execution_options(include_deleted=True, synchronize_session=False)
    )
    session.execute(statement)


def _create(session: Session, organization_id: UUID, rows: Sequence[Mapping[str, Any]]) -> Sequence[UUID]:
    if not rows:
        return []
    given = recordset(rows, _LEAD_COLUMNS).c
    values = {
        "organization_id": literal(organization_id, Uuid()),
        "external_id": given.external_id,
        **{name: given[name] for name in _KEPT_WHEN_ABSENT},
        "attributes": func.coalesce(given.attributes, EMPTY_OBJECT),
        "status": func.coalesce(given.status, LeadStatus.NEW.value),
        "converted": func.coalesce(given.converted, False),
    }
    source = select(*values.values())
    statement = insert(Lead).from_select(list(values), source, include_defaults=False).returning(Lead.id)
    return session.scalars(statement).all()


def record_events(session: Session, organization_id: UUID, events: LeadEventImport) -> Recorded:
    """Record the events that are new and whose lead exists, in one statement."""
    given = recordset([event.model_dump(mode="json") for event in events.events], _EVENT_COLUMNS).c
    values = {
        "organization_id": literal(organization_id, Uuid()),
        "lead_id": Lead.id,
        "name": given.name,
        "occurred_at": given.occurred_at,
        "points": given.points,
        "external_id": given.external_id,
        "attributes": given.attributes,
    }
    known = select(Lead.external_id).where(Lead.external_id == given.lead, Lead.deleted_at.is_(None))
    source = (
        select(*values.values())
        .where(Lead.external_id == given.lead, Lead.deleted_at.is_(None))
        .order_by(given.external_id)
    )
    unknown = session.scalars(select(func.count()).select_from(given.lead.table).where(~known.exists())).one()
    recorded = session.scalars(
        insert(LeadEvent)
        .from_select(list(values), source, include_defaults=False)
        .on_conflict_do_nothing()
        .returning(LeadEvent.lead_id)
    ).all()
    mark_changed(session, organization_id, recorded)
    return Recorded(
        recorded=len(recorded),
        duplicates=len(events.events) - len(recorded) - unknown,
        unknown=unknown,
    )
