"""Engagement of leads from their events: capped per day, decayed by half-life.

Each event of a rule with p points and half-life h that happened at t_i is worth p * 2^-((t - t_i) / h) at t.
Of one day's events of one rule only the first *daily_cap* points count. Source: exponential decay in closed
form, as time-decayed counters do it (Cormode et al., "Forward decay", 2009).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

from tasks.scoring_rules import EventRule

DAY_SECONDS = 86_400.0

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EventTable:
    """Events in parallel arrays, in any order."""

    lead: Integers
    """Row of the lead in its batch."""
    rule: Integers
    """Row of the rule in the rule set."""
    at: Floats
    """Seconds since the epoch."""
    day: Integers
    """The day that the cap counts in, as a number; the organization's own days."""
    points: Floats
    """What the event is worth by itself; NaN lets the rule decide."""


def engagement_points(rules: Sequence[EventRule], events: EventTable, *, leads: int, now: float) -> Floats:
    """Return the decayed points per lead (row) and rule (column).

    Cost: one sort of the events. An event from the future counts as if it happened *now*.
    """
    if not rules:
        return np.zeros((leads, 0))
    by_rule = np.array([rule.points for rule in rules], dtype=np.float64)[events.rule]
    worth_each = np.where(np.isnan(events.points), by_rule, events.points)
    order = np.lexsort((worth_each, events.at, events.day, events.rule, events.lead))
    lead, rule, at, day = events.lead[order], events.rule[order], events.at[order], events.day[order]
    points = worth_each[order]
    half_life = np.array([rule.half_life_days * DAY_SECONDS for rule in rules])[rule]
    caps = np.array([np.inf if rule.daily_cap is None else float(rule.daily_cap) for rule in rules])[rule]
    room = caps - _sum_before(np.abs(points), lead, rule, day)
    counted = np.sign(points) * np.clip(room, 0.0, np.abs(points))
    worth = counted * np.exp2(-np.maximum(now - at, 0.0) / half_life)
    cells = np.bincount(lead * len(rules) + rule, weights=worth, minlength=leads * len(rules))
    return np.asarray(cells, dtype=np.float64).reshape(leads, len(rules))


def _sum_before(values: Floats, *columns: Integers) -> Floats:
    """Return the sum of the values before each row among the rows that equal it, given sorted columns."""
    count = len(values)
    starts = np.zeros(count, dtype=bool)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    before = np.cumsum(values) - values
    first_row = np.maximum.accumulate(np.where(starts, np.arange(count), 0))
    return before - before[first_row]


class LateEventError(ValueError):
    """The event is older than what was folded: the order of the day is gone, recompute from the events."""

    def __init__(self, at: datetime, as_of: datetime) -> None:
        super().__init__(f"event of {at.isoformat()} came after {as_of.isoformat()}")
        self.at = at
        self.as_of = as_of


@dataclass(frozen=True, slots=True)
class Folded:
    """One lead's points of one rule, small enough to keep: folding an event in costs O(1)."""

    value: float = 0.0
    """Points as of *as_of*."""
    as_of: datetime | None = None
    day: date | None = None
    day_points: float = 0.0
    """Points before decay, without sign, that *day* has brought."""

    def worth(self, rule: EventRule, now: datetime) -> float:
        """Return the points left at *now*."""
        if self.as_of is None:
            return 0.0
        age = max((now - self.as_of).total_seconds(), 0.0)
        return self.value * float(np.exp2(-age / (rule.half_life_days * DAY_SECONDS)))

    def fold(self, rule: EventRule, at: datetime, day: date, *, points: float | None = None) -> "Folded":
        """Return the state with one more event, which must not be older than the last.

        Args:
            rule: The rule of the event.
            at: When it happened.
            day: The organization's own day of that moment.
            points: What the event is worth by itself; None lets the rule decide.

        Raises:
            LateEventError: The event is older than the state.
        """
        if self.as_of is not None and at < self.as_of:
            raise LateEventError(at, self.as_of)
        spent = self.day_points if day == self.day else 0.0
        room = float("inf") if rule.daily_cap is None else rule.daily_cap - spent
        worth = rule.points if points is None else points
        counted = min(abs(worth), max(room, 0.0))
        signed = counted if worth >= 0 else -counted
        return Folded(value=self.worth(rule, at) + signed, as_of=at, day=day, day_points=spent + counted)
