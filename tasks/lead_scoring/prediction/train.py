"""Train a model from labelled leads, measure it by cross-validation, or say why there is none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from tasks.lead_scoring.engagement import Floats, Integers
from tasks.lead_scoring.fit import Column
from tasks.lead_scoring.prediction.encode import Values, encode, learn_field, learn_fields
from tasks.lead_scoring.prediction.logistic import fit, probability
from tasks.lead_scoring.prediction.model import Card, Model
from tasks.lead_scoring.prediction.validation import auc, brier, calibration_error, stratified_folds

LEAST_LABELS = 50
LEAST_OF_A_CLASS = 10
WORSE_BY = 0.02
"""A model whose AUC is lower by more than this does not replace the one before."""
TOO_GOOD_AUC = 0.95
"""One field alone that ranks leads so well was written after the outcome."""
STRONGEST = 10

LEAKING = frozenset(
    {
        "asymmetrique_activity_index",
        "asymmetrique_activity_score",
        "asymmetrique_profile_index",
        "asymmetrique_profile_score",
        "bucket",
        "closed_at",
        "closed_date",
        "converted",
        "converted_at",
        "deal_value",
        "grade",
        "last_notable_activity",
        "lead_profile",
        "lead_quality",
        "lead_stage",
        "lost_reason",
        "score",
        "status",
        "tags",
        "won",
    }
)
"""Fields that are written when the outcome is known, or that our own scoring writes."""

_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Leads whose outcome is known, in parallel columns."""

    columns: Mapping[str, Column]
    converted: Floats
    """1 or 0 per lead."""


class NotTrainedError(Exception):
    """There is no new model, and scoring goes on as before."""

    def __init__(self, reason: str, refused: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.refused = refused or {}
        """Fields that could not be used, with why."""


def train(
    data: Labelled,
    *,
    at: datetime,
    before: Model | None,
    excluded: frozenset[str] = frozenset(),
) -> Model:
    """Return a model of the labelled leads, numbered 1: whoever keeps it gives it its version.

    Args:
        data: The leads.
        at: The moment, for the card.
        before: The model in use.
        excluded: Names of fields that the organization wants left out.

    Raises:
        NotTrainedError: Too few labels, no field that tells, or a model clearly worse than the one before.
    """
    _require_labels(data.converted)
    usable, refused = _screen(data, excluded)
    if not usable:
        raise NotTrainedError("no field tells leads apart", refused)
    chances = _unseen_chances(usable, data.converted)
    ranking = auc(data.converted, chances)
    if before is not None and ranking < before.card.auc - WORSE_BY:
        raise NotTrainedError(
            f"the new model ranks worse than version {before.version}: "
            f"AUC {ranking:.3f}, was {before.card.auc:.3f}",
            refused,
        )
    fields = learn_fields(usable)
    intercept, weights = fit(encode(fields, usable, len(data.converted)), data.converted)
    labels = [label for field in fields for label in field.labels]
    heaviest = np.argsort(-np.abs(weights), kind="stable")[:STRONGEST]
    card = Card(
        trained_at=at,
        labels=len(data.converted),
        converted=int(data.converted.sum()),
        auc=ranking,
        brier=brier(data.converted, chances),
        calibration_error=calibration_error(data.converted, chances),
        fields=tuple(field.name for field in fields),
        refused=refused,
        strongest=tuple((labels[place], float(weights[place])) for place in heaviest),
    )
    return Model(
        version=1, fields=tuple(fields), intercept=intercept, weights=tuple(weights.tolist()), card=card
    )


def _require_labels(converted: Floats) -> None:
    positives = int(converted.sum())
    negatives = len(converted) - positives
    if len(converted) < LEAST_LABELS or min(positives, negatives) < LEAST_OF_A_CLASS:
        raise NotTrainedError(
            f"a model needs {LEAST_LABELS} leads of known outcome, {LEAST_OF_A_CLASS} of each: "
            f"there are {positives} converted and {negatives} lost"
        )


def _screen(data: Labelled, excluded: frozenset[str]) -> tuple[dict[str, Values], dict[str, str]]:
    """Separate the fields that may be used from those that may not, with the reason."""
    usable: dict[str, Values] = {}
    refused: dict[str, str] = {}
    unwanted = {plain_name(name) for name in excluded}
    for name, column in data.columns.items():
        if plain_name(name) in unwanted:
            refused[name] = "left out by the organization"
        elif plain_name(name) in LEAKING:
            refused[name] = "written after the outcome"
        elif learn_field(name, values := Values.of(column)) is not None:
            alone = auc(data.converted, _unseen_chances({name: values}, data.converted, folds=2))
            if alone < TOO_GOOD_AUC:
                usable[name] = values
            else:
                refused[name] = f"too good to be known before the outcome: AUC {alone:.3f} alone"
    return usable, refused


def plain_name(name: str) -> str:
    """Return a field's name in lower case with single underscores."""
    return _NOT_A_LETTER.sub("_", name.casefold()).strip("_")


def _unseen_chances(columns: Mapping[str, Values], converted: Floats, folds: int = 5) -> Floats:
    """Return the chance of each lead by a model trained without its fold, encoding included."""
    fold = stratified_folds(converted, folds)
    chances = np.empty(len(converted))
    for number in range(folds):
        seen, unseen = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        fields = learn_fields(_rows(columns, seen))
        intercept, weights = fit(encode(fields, _rows(columns, seen), len(seen)), converted[seen])
        chances[unseen] = probability(
            intercept + encode(fields, _rows(columns, unseen), len(unseen)) @ weights
        )
    return chances


def _rows(columns: Mapping[str, Values], rows: Integers) -> dict[str, Values]:
    return {name: values.of_rows(rows) for name, values in columns.items()}
