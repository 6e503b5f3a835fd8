"""What scoring needs to know of an organization: its rules, its model, its zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from config.plans import terms_of
from models.organization import Organization
from models.scoring import LeadModel, LeadRuleSet
from tasks.lead_scoring.prediction.model import Model
from tasks.scoring_defaults import DEFAULT_RULES
from tasks.scoring_rules import RuleSet

PREDICTIVE = "predictive_scoring"
"""Plan feature without which a model is neither trained nor used."""


class BrokenRulesError(Exception):
    """The organization's stored rules are not valid."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("the organization's scoring rules are not valid: " + "; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Context:
    """What scoring needs to know of an organization."""

    rules: RuleSet
    time_zone: str
    now: datetime
    model: Model | None = None
    """The organization's own model, if it has one and its plan includes it."""

    @property
    def fields(self) -> frozenset[str]:
        """Return the fields of a lead that scoring looks at."""
        return self.rules.fields | (self.model.names if self.model else frozenset())


def read_context(session: Session, organization_id: UUID) -> Context:
    """Return the organization's rules, zone and the transaction's moment; ready it for batches.

    Of an organization it has no statistics of, Postgres expects one lead, and would compare each row of a
    batch with each lead: 15 s for 5,000. Without nested loops it cannot. Statements that follow name the ids
    of their leads, so that an index still finds them.

    Raises:
        BrokenRulesError: Stored rules no longer satisfy `RuleSet`.
    """
    statement = select(
        Organization.plan,
        Organization.plan_overrides,
        Organization.time_zone,
        func.now(),
        newest(LeadRuleSet.version, organization_id),
        newest(LeadRuleSet.rules, organization_id),
        model_in_use(organization_id),
        func.set_config("enable_nestloop", "off", True),
    ).where(Organization.organization_id == organization_id)
    plan, overrides, time_zone, now, version, rules, model, _ = session.execute(statement).one()
    predicts = model is not None and terms_of(plan, overrides).offers(PREDICTIVE)
    return Context(
        rules=DEFAULT_RULES if version is None else parse_rules(rules, version),
        time_zone=time_zone,
        now=now,
        model=Model.model_validate(model) if predicts else None,
    )


def newest(column: InstrumentedAttribute[Any], organization_id: UUID) -> ScalarSelect[Any]:
    """Return a query for *column* of the organization's newest rule set."""
    return (
        select(column)
        .where(LeadRuleSet.organization_id == organization_id)
        .order_by(LeadRuleSet.version.desc())
        .limit(1)
        .scalar_subquery()
    )


def model_in_use(organization_id: UUID) -> ScalarSelect[Any]:
    """Return a query for the organization's newest model that is not retired."""
    return (
        select(LeadModel.model)
        .where(LeadModel.organization_id == organization_id, LeadModel.retired_at.is_(None))
        .order_by(LeadModel.version.desc())
        .limit(1)
        .scalar_subquery()
    )


def parse_rules(stored: Any, version: int) -> RuleSet:
    """Return stored rules.

    Raises:
        BrokenRulesError: They no longer satisfy `RuleSet`.
    """
    try:
        return RuleSet.model_validate({**stored, "version": version})
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
        raise BrokenRulesError(problems) from error
