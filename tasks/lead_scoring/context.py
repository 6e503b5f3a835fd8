"""What scoring needs to know of an organization: its rules, its model, its zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session

from config.plans import PLANS
from models.organization import Organization
from models.setting import Setting
from tasks.lead_scoring.defaults import DEFAULT_RULES
from tasks.lead_scoring.prediction.model import Model
from tasks.lead_scoring.rules import RuleSet

RULES_SETTING = "lead_scoring.rules"
"""Key under which an organization keeps its own `RuleSet`."""

MODEL_SETTING = "lead_scoring.model"
"""Key under which an organization's predictive `Model` is kept."""

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
        Organization.time_zone,
        func.now(),
        setting(organization_id, RULES_SETTING),
        setting(organization_id, MODEL_SETTING),
        func.set_config("enable_nestloop", "off", True),
    ).where(Organization.organization_id == organization_id)
    plan, time_zone, now, rules, model, _ = session.execute(statement).one()
    predicts = model is not None and PLANS[plan].offers(PREDICTIVE)
    return Context(
        rules=DEFAULT_RULES if rules is None else _parse(rules),
        time_zone=time_zone,
        now=now,
        model=Model.model_validate(model) if predicts else None,
    )


def setting(organization_id: UUID, key: str) -> ScalarSelect[Any]:
    """Return a query for the value of one of the organization's settings."""
    return (
        select(Setting.value)
        .where(Setting.organization_id == organization_id, Setting.key == key)
        .scalar_subquery()
    )


def _parse(stored: Any) -> RuleSet:
    try:
        return RuleSet.model_validate(stored)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
        raise BrokenRulesError(problems) from error
