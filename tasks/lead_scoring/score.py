"""Scores of a batch of leads, with reasons that sum to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.lead_scoring.engagement import EventTable, Floats, Integers, engagement_points
from tasks.lead_scoring.fit import Column, fit_points
from tasks.lead_scoring.prediction.model import Model
from tasks.scoring_rules import RuleSet

LOWEST, HIGHEST = 0, 100

Reason = dict[str, Any]
"""`rule`, `label`, `points`."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Results in parallel, one row a lead, in the order of the batch."""

    score: Integers
    fit: Integers
    engagement: Integers
    grade: list[str]
    bucket: list[str]
    reasons: list[list[Reason]]
    """What moved the score, heaviest first; the points sum to the score exactly."""


@dataclass(frozen=True, slots=True)
class LeadTable:
    """A batch of leads to score."""

    columns: Mapping[str, Column]
    """Field name to one value a lead; a field that is absent is missing in every lead."""
    events: EventTable
    """What they did, as far as a rule looks at it."""
    leads: int


def score_leads(rules: RuleSet, table: LeadTable, *, now: float, model: Model | None = None) -> Scores:
    """Score a batch of leads.

    Args:
        rules: The organization's rules.
        table: The leads.
        now: Seconds since the epoch.
        model: The organization's own predictive model; None scores by the rules alone.
    """
    leads, columns = table.leads, table.columns
    fit_cells = fit_points(rules.fit, columns, leads=leads)
    engagement_cells = whole_points(engagement_points(rules.event_rules, table.events, leads=leads, now=now))
    fit_raw, engagement_raw = fit_cells.sum(axis=1), engagement_cells.sum(axis=1)
    fit = np.clip(fit_raw, -HIGHEST, rules.fit_limit)
    engagement = np.clip(engagement_raw, -HIGHEST, rules.engagement_limit)
    by_rules = np.clip(fit + engagement, LOWEST, HIGHEST)
    score = by_rules if model is None else _blend(by_rules, model.predict(columns, leads=leads), model.trust)
    adjustments = np.stack(
        (fit - fit_raw, engagement - engagement_raw, by_rules - fit - engagement, score - by_rules), axis=1
    )
    return Scores(
        score=score,
        fit=fit,
        engagement=engagement,
        grade=_grades(rules, fit, engagement),
        bucket=_buckets(rules, score),
        reasons=_reasons(rules, np.concatenate((fit_cells, engagement_cells, adjustments), axis=1)),
    )


def _blend(by_rules: Integers, chances: Floats, trust: float) -> Integers:
    """Return scores between the rules' and the model's, nearer to the model the more it is trusted."""
    blended = (1.0 - trust) * by_rules + trust * HIGHEST * chances
    return np.clip(np.floor(blended + 0.5), LOWEST, HIGHEST).astype(np.int64)


def whole_points(cells: Floats) -> Integers:
    """Round each row to whole points whose sum is the rounded sum of the row.

    Source: largest remainder (Hamilton's method); ties go to the earlier rule.
    """
    floors = np.floor(cells)
    missing = np.floor(cells.sum(axis=1) + 0.5) - floors.sum(axis=1)
    rank = np.argsort(np.argsort(floors - cells, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(floors + (rank < missing[:, np.newaxis]), dtype=np.int64)


def _grades(rules: RuleSet, fit: Integers, engagement: Integers) -> list[str]:
    """Return A to C for fit with 1 to 3 for engagement."""
    letters = _level(fit, rules.fit_limit, rules.fit_grades)
    digits = _level(engagement, rules.engagement_limit, rules.engagement_grades)
    names = np.array([[f"{letter}{digit}" for digit in "123"] for letter in "ABC"])
    return [str(name) for name in names[letters, digits]]


def _level(points: Integers, limit: int, thresholds: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return 0 from the upper threshold (a percentage of *limit*), 1 from the lower, else 2."""
    upper, lower = thresholds
    hundredfold = points * 100
    return np.where(hundredfold >= upper * limit, 0, np.where(hundredfold >= lower * limit, 1, 2))


def _buckets(rules: RuleSet, score: Integers) -> list[str]:
    names = np.array(["hot", "warm", "cold"])
    level = np.where(score >= rules.hot_from, 0, np.where(score >= rules.warm_from, 1, 2))
    return [str(name) for name in names[level]]


def _reasons(rules: RuleSet, cells: Integers) -> list[list[Reason]]:
    """Turn cells into reasons; the last four columns adjust: limits, range, model."""
    names = [(rule.key, rule.label) for rule in (*rules.fit, *rules.event_rules)]
    names += [
        ("limit.fit", f"Fit counts at most {rules.fit_limit}"),
        ("limit.engagement", f"Engagement counts at most {rules.engagement_limit}"),
        ("limit.score", f"A score lies between {LOWEST} and {HIGHEST}"),
        ("model", "The model's view of how such leads end"),
    ]
    heaviest_first = np.argsort(-np.abs(cells), axis=1, kind="stable")
    sorted_cells = np.take_along_axis(cells, heaviest_first, axis=1)
    rows, places = np.nonzero(sorted_cells)
    columns, points = heaviest_first[rows, places], sorted_cells[rows, places]
    # Few reasons are told of many leads: each is made once.
    _, first, which = np.unique(points * len(names) + columns, return_index=True, return_inverse=True)
    made = [
        {"rule": names[column][0], "label": names[column][1], "points": worth}
        for column, worth in zip(columns[first].tolist(), points[first].tolist(), strict=True)
    ]
    told = [made[number] for number in which.tolist()]
    ends = np.cumsum(np.bincount(rows, minlength=len(cells))).tolist()
    return [told[begin:end] for begin, end in pairwise([0, *ends])]
