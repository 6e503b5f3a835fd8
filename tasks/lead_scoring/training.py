"""The body of `leads.train_model`: learn from leads of known outcome, keep the model with its card."""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from config.plans import PLANS
from models.lead import Lead, LeadStatus
from models.organization import Organization
from models.setting import Setting
from tasks.catalog import TRAIN_MODEL
from tasks.lead_scoring.context import MODEL_SETTING, PREDICTIVE, setting
from tasks.lead_scoring.prediction.model import Model
from tasks.lead_scoring.prediction.train import Labelled, NotTrainedError, train
from tasks.payloads import TrainModel
from worker.context import Completion, DatabaseJob, PermanentJobError
from worker.job import runs

EXCLUDED_SETTING = "lead_scoring.model_excluded"
"""Key under which an organization lists fields that its model must not use."""

MOST_LEADS = 20_000
"""A model learns from so many of the newest leads of known outcome at most."""

MOST_ATTRIBUTES = 200
OWN_FIELDS = ("source", "job_title", "company")
"""Columns of a lead that a model may use; names and addresses of people tell nothing it should learn."""


@runs(TRAIN_MODEL)
def train_model(job: DatabaseJob, payload: TrainModel) -> Completion:  # noqa: ARG001 - a training has no options
    """Train the organization's model; without one, or a better one, scoring goes on as it was."""
    session, organization_id = job.session, job.claim.organization_id
    plan, stored, excluded, now = session.execute(
        select(
            Organization.plan,
            setting(organization_id, MODEL_SETTING),
            setting(organization_id, EXCLUDED_SETTING),
            func.now(),
        ).where(Organization.organization_id == organization_id)
    ).one()
    if not PLANS[plan].offers(PREDICTIVE):
        raise PermanentJobError(f"Feature {PREDICTIVE} is not in plan {plan}.")
    try:
        model = train(
            read_labelled(session, organization_id),
            at=now,
            before=None if stored is None else Model.model_validate(stored),
            excluded=frozenset(excluded or ()),
        )
    except NotTrainedError as error:
        return Completion({"trained": False, "reason": str(error)})
    _keep(session, organization_id, model)
    card = model.card.model_dump(mode="json")
    return Completion({"trained": True, "version": model.version, "card": card})


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


def _keep(session: Session, organization_id: UUID, model: Model) -> None:
    value = model.model_dump(mode="json")
    statement = insert(Setting).values(organization_id=organization_id, key=MODEL_SETTING, value=value)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["organization_id", "key"], set_={"value": value, "updated_at": func.now()}
        )
    )
