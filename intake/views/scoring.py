"""What a tenant sees of the rules and the model that its leads are scored by."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from intake.views.base import View
from models.scoring import LeadModel, LeadRuleSet
from tasks.scoring_defaults import DEFAULT_RULES
from tasks.scoring_rules import DEFAULT_VERSION, Rules


class RuleSetSummary(View):
    """One version of the rules."""

    version: int
    """0 is the default rules, which apply until there are own ones."""
    note: str | None = None
    created_by: str | None = None
    created_at: datetime | None = None


class RuleSetView(RuleSetSummary):
    """One version of the rules, with the rules."""

    rules: Any
    warnings: list[str] = []  # noqa: RUF012 - pydantic copies defaults
    """What can be stored but can hardly be meant, such as a grade that no lead reaches."""


class ModelView(View):
    """One version of the predictive model."""

    version: int
    created_at: datetime
    retired_at: datetime | None
    card: dict[str, Any]
    """Labels, cross-validated AUC, Brier score, calibration error, fields used and refused."""


class PredictionView(View):
    """How prediction stands: without a model in use, leads are scored by the rules alone."""

    in_use: ModelView | None
    excluded: list[str]
    """Fields that the model must not use, by your wish."""
    pools_training_data: bool
    """Consent to learn across organizations; nothing is pooled without it."""


_SUMMARY = (LeadRuleSet.version, LeadRuleSet.note, LeadRuleSet.created_by, LeadRuleSet.created_at)


def default_rules() -> RuleSetView:
    """Return the rules that apply until an organization writes its own."""
    content = DEFAULT_RULES.content
    return RuleSetView(
        version=DEFAULT_VERSION, rules=content.model_dump(mode="json"), warnings=content.warnings()
    )


def find_rules(session: Session, version: int | None) -> RuleSetView | None:
    """Return a version of the rules, or with None the one in force; None when there is no such version."""
    if version == DEFAULT_VERSION:
        return default_rules()
    query = select(*_SUMMARY, LeadRuleSet.rules).order_by(LeadRuleSet.version.desc()).limit(1)
    if version is not None:
        query = query.where(LeadRuleSet.version == version)
    row = session.execute(query).one_or_none()
    if row is None:
        return default_rules() if version is None else None
    shown = RuleSetView.model_validate(row)
    return shown.model_copy(update={"warnings": Rules.model_validate(row.rules).warnings()})


def list_rules(session: Session, *, before: int | None, limit: int) -> Sequence[Any]:
    """Return versions of the rules, the newest first."""
    query = select(*_SUMMARY).order_by(LeadRuleSet.version.desc()).limit(limit)
    return session.execute(query if before is None else query.where(LeadRuleSet.version < before)).all()


def list_models(session: Session, *, before: int | None, limit: int) -> Sequence[Any]:
    """Return versions of the model, the newest first."""
    query = select(*MODEL_COLUMNS).order_by(LeadModel.version.desc()).limit(limit)
    return session.execute(query if before is None else query.where(LeadModel.version < before)).all()


def find_model_in_use(session: Session) -> ModelView | None:
    """Return the newest model that is not retired."""
    query = select(*MODEL_COLUMNS).where(LeadModel.retired_at.is_(None))
    row = session.execute(query.order_by(LeadModel.version.desc()).limit(1)).one_or_none()
    return None if row is None else ModelView.model_validate(row)


MODEL_COLUMNS = (
    LeadModel.version,
    LeadModel.created_at,
    LeadModel.retired_at,
    LeadModel.model["card"].label("card"),
)
