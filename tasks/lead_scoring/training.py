"""The body of `leads.train_model`: learn from leads of known outcome, keep the model with its card."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ScalarSelect, func, or_, select
from sqlalchemy.orm import Session

from config.plans import terms_of
from models.lead import Lead, LeadStatus
from models.organization import Organization
from models.scoring import LeadModel
from models.setting import MODEL_EXCLUDED, Setting
from tasks.catalog import TRAIN_MODEL
from tasks.lead_scoring.context import PREDICTIVE, model_in_use
from tasks.lead_scoring.prediction.model import Model
from tasks.lead_scoring.prediction.train import Labelled, NotTrainedError, train
from tasks.payloads import TrainModel
from worker.context import Completion, OutsideJob, PermanentJobError
from worker.job import runs
from worker.refusal import FeatureNotInPlanError

MOST_LEADS = 20_000
"""A model learns from so many of the newest leads of known outcome at most."""

MOST_ATTRIBUTES = 200
OWN_FIELDS = ("source", "job_title", "company")
"""Columns of a lead that a model may use; names and addresses of people tell nothing it should learn."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a training begins with."""

    data: Labelled
    before: Model | None
    """The model in use."""
    excluded: frozenset[str]
    now: datetime


@runs(TRAIN_MODEL)
def train_model(job: OutsideJob, payload: TrainModel) -> Completion:  # noqa: ARG001 - a training has no options
    """Train the organization's model; without one, or a better one, scoring goes on as it was.

    It learns between two short transactions: Postgres ends one that stands idle for long.
    """
    organization_id = job.claim.organization_id
    with job.transaction() as session:
        material = read_material(session, organization_id)
    try:
        model = train(material.data, at=material.now, before=material.before, excluded=material.excluded)
    except NotTrainedError as error:
        return Completion({"trained": False, "reason": str(error), "refused": dict(error.refused)})
    job.check()
    with job.transaction() as session:
        version = keep(session, organization_id, job.claim.job_id, model)
    card = model.card.model_dump(mode="json")
    return Completion({"trained": True, "version": version, "card": card})


def read_material(session: Session, organization_id: UUID) -> Material:
    """Read what to learn from.

    Raises:
        PermanentJobError: The plan does not include prediction (any more).
    """
    plan, overrides, stored, excluded, now = session.execute(
        select(
            Organization.plan,
            Organization.plan_overrides,
            model_in_use(organization_id),
            _excluded(organization_id),
            func.now(),
        ).where(Organization.organization_id == organization_id)
    ).one()
    if not terms_of(plan, overrides).offers(PREDICTIVE):
        raise PermanentJobError(str(FeatureNotInPlanError(PREDICTIVE, plan)))
    return Material(
        data=read_labelled(session, organization_id),
        before=None if stored is None else Model.model_validate(stored),
        excluded=frozenset(excluded or ()),
        now=now,
    )


def keep(session: Session, organization_id: UUID, job_id: UUID, model: Model) -> int:
    """Keep a model under the id of its job, so that a job that runs twice makes one; return its version."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{organization_id}/model", 0))))
    made = select(LeadModel.version).where(
        LeadModel.organization_id == organization_id, LeadModel.id == job_id
    )
    version = session.scalars(made).one_or_none()
    if version is None:
        latest = select(func.max(LeadModel.version)).where(LeadModel.organization_id == organization_id)
        version = 1 + (session.scalars(latest).one() or 0)
        content = model.model_copy(update={"version": version}).model_dump(mode="json")
        session.add(LeadModel(organization_id=organization_id, id=job_id, version=version, model=content))
    return version


def read_labelled(session: Session, organization_id: UUID) -> Labelled:
    """Return the newest leads that were converted or lost, a column per field."""
    own = [getattr(Lead, name) for name in OWN_FIELDS]
    statement = (
        select(Lead.converted, Lead.attributes, *own)
        .where(
            Lead.organization_id == organization_id,
            Lead.deleted_at.is_(None),
            or_(Lead.converted, Lead.status.in_((LeadStatus.CONVERTED, LeadStatus.LOST))),
        )
        .order_by(Lead.id.desc())
        .limit(MOST_LEADS)
    )
    rows = session.execute(statement.add_columns(Lead.status)).all()
    converted = [bool(row[0]) or row[-1] == LeadStatus.CONVERTED for row in rows]
    columns: dict[str, Sequence[Any]] = {
        name: [row[2 + place] for row in rows] for place, name in enumerate(OWN_FIELDS)
    }
    counts = Counter(name for row in rows for name in row[1])
    for name, _ in counts.most_common(MOST_ATTRIBUTES):
        columns[name] = [row[1].get(name) for row in rows]
    return Labelled(columns, np.array(converted, dtype=np.float64))


def _excluded(organization_id: UUID) -> ScalarSelect[Any]:
    """Return a query for the fields that the organization wants left out."""
    return (
        select(Setting.value)
        .where(Setting.organization_id == organization_id, Setting.key == MODEL_EXCLUDED)
        .scalar_subquery()
    )
