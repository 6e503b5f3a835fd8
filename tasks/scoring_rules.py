"""An organization's scoring rules: fit by fields, engagement by events, and the limits of a score."""

from collections import Counter
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from tasks.payloads import Text

Label = Annotated[Text, Field(min_length=1, max_length=120)]
Name = Annotated[Text, Field(min_length=1, max_length=100)]
Points = Annotated[int, Field(ge=-100, le=100)]
Share = Annotated[int, Field(ge=0, le=100)]
Value = (
    Annotated[Text, Field(max_length=4_000)] | int | Annotated[float, Field(allow_inf_nan=False)] | StrictBool
)

OTHER_EVENTS = "event.other"
"""Key of the rule for events that no rule names."""

RESERVED_KEYS = frozenset({OTHER_EVENTS, "limit.fit", "limit.engagement", "limit.score", "model"})
"""Keys under which reasons name what is no rule of the organization."""

DEFAULT_VERSION = 0
"""The version of the default rules; an organization's own count from 1."""


class Operator(StrEnum):
    """How a field rule looks at a lead; text is compared without regard to case."""

    IS = "is"
    IS_NOT = "is_not"
    ONE_OF = "one_of"
    CONTAINS = "contains"
    """The text contains one of the values."""
    PRESENT = "present"
    ABSENT = "absent"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"


_VALUES_OF: dict[Operator, tuple[int, int]] = {
    Operator.PRESENT: (0, 0),
    Operator.ABSENT: (0, 0),
    Operator.ONE_OF: (1, 500),
    Operator.CONTAINS: (1, 500),
}
_ONE_VALUE = (1, 1)


class Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    key: Name
    """Names the rule in the reasons; fixed while its meaning stays."""
    label: Label
    points: Points


class FieldRule(Rule):
    """Points for what a lead is; negative ones speak against it."""

    field: Name
    operator: Operator
    values: tuple[Value, ...] = ()

    @model_validator(mode="after")
    def values_fit_operator(self) -> Self:
        """Refuse a rule that could never be evaluated."""
        least, most = _VALUES_OF.get(self.operator, _ONE_VALUE)
        if not least <= len(self.values) <= most:
            raise ValueError(f"{self.operator} takes {least} to {most} values, not {len(self.values)}")
        if self.operator in (Operator.AT_LEAST, Operator.AT_MOST) and not _is_number(self.values[0]):
            raise ValueError(f"{self.operator} takes a number")
        if self.operator is Operator.CONTAINS and not all(map(_is_said, self.values)):
            raise ValueError("contains takes texts that are not blank")
        return self


class EventRule(Rule):
    """Points for what a lead did; each event's points halve every *half_life_days*."""

    event: Name
    half_life_days: Annotated[float, Field(gt=0, le=3_650)] = 14.0
    daily_cap: Annotated[int, Field(ge=1, le=1_000)] | None = None
    """Points, before decay, that one day's events of this rule may bring; the first ones of the day count."""


class Rules(BaseModel):
    """What an organization scores by. Score = fit + engagement, each within its limit, in 0..100."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    fit: Annotated[tuple[FieldRule, ...], Field(max_length=200)] = ()
    engagement: Annotated[tuple[EventRule, ...], Field(max_length=100)] = ()
    other_half_life_days: Annotated[float, Field(gt=0, le=3_650)] = 14.0
    """Half-life of events that no rule is for but that carry points of their own."""
    fit_limit: Share = 50
    engagement_limit: Share = 50
    fit_grades: tuple[Share, Share] = (70, 40)
    """Percent of the fit limit from which a lead is A, and from which B."""
    engagement_grades: tuple[Share, Share] = (60, 25)
    """Percent of the engagement limit from which a lead is 1, and from which 2."""
    hot_from: Share = 70
    warm_from: Share = 40

    @model_validator(mode="after")
    def consistent(self) -> Self:
        """Refuse keys and events that two rules share, reserved keys, and thresholds in the wrong order."""
        keys = [rule.key for rule in (*self.fit, *self.engagement)]
        if twice := _twice(keys):
            raise ValueError(f"two rules have the same key {twice!r}")
        if reserved := RESERVED_KEYS.intersection(keys):
            raise ValueError(f"the key {min(reserved)!r} is reserved")
        if twice := _twice([rule.event for rule in self.engagement]):
            raise ValueError(f"two rules are for the same event {twice!r}")
        falling = {
            "fit_grades": self.fit_grades,
            "engagement_grades": self.engagement_grades,
            "hot_from, warm_from": (self.hot_from, self.warm_from),
        }
        for name, (upper, lower) in falling.items():
            if upper < lower:
                raise ValueError(f"{name}: the higher threshold comes first, not {upper} before {lower}")
        return self

    @property
    def event_rules(self) -> tuple[EventRule, ...]:
        """Return the event rules and, last, the one for events that no rule is for."""
        other = EventRule(
            key=OTHER_EVENTS,
            label="Other activity",
            event=OTHER_EVENTS,
            points=0,
            half_life_days=self.other_half_life_days,
        )
        return (*self.engagement, other)

    @property
    def fields(self) -> frozenset[str]:
        """Return the fields that the fit rules look at."""
        return frozenset(rule.field for rule in self.fit)

    def warnings(self) -> list[str]:
        """Say what can be stored but can hardly be meant: grades and buckets that no lead reaches."""
        fit = min(sum(rule.points for rule in self.fit if rule.points > 0), self.fit_limit)
        engagement = self.engagement_limit if any(rule.points > 0 for rule in self.engagement) else 0
        found = []
        if fit * 100 < self.fit_grades[0] * self.fit_limit:
            found.append(f"no lead reaches grade A: the fit rules bring {fit} of {self.fit_limit} points")
        if fit + engagement < self.hot_from:
            found.append(
                f"no lead is hot by the rules: they bring {fit + engagement} points of {self.hot_from}"
            )
        return found


class RuleSet(Rules):
    """One version of an organization's rules."""

    version: Annotated[int, Field(ge=DEFAULT_VERSION)]

    @property
    def content(self) -> Rules:
        """Return the rules without their version."""
        return Rules.model_validate(self.model_dump(exclude={"version"}))


def _twice(names: list[str]) -> str | None:
    """Return a name that occurs more than once."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _is_said(value: Value) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
