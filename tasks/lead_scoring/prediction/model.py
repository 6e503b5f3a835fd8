"""A predictive model with its card: what it was trained on, how good it is, and what it was denied."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.lead_scoring.engagement import Floats
from tasks.lead_scoring.fit import Column
from tasks.lead_scoring.prediction.encode import AnyField, Values, encode
from tasks.lead_scoring.prediction.logistic import probability

TRUST_HALF_AT = 200
"""With so many labels the model weighs half; the rules weigh the rest."""


class Card(BaseModel):
    """What a person needs to judge a model; every measure is of leads that a fold had not seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trained_at: datetime
    labels: int
    converted: int
    auc: float
    brier: float
    calibration_error: float
    fields: tuple[str, ...]
    refused: Mapping[str, str]
    """Fields that were not used, with the reason."""
    strongest: tuple[tuple[str, float], ...]
    """Columns with the largest weights."""


class Model(BaseModel):
    """Coefficients in plain JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1)]
    fields: tuple[AnyField, ...]
    intercept: float
    weights: tuple[float, ...]
    card: Card

    def predict(self, columns: Mapping[str, Column], *, leads: int) -> Floats:
        """Return the chance of conversion of each lead."""
        known = {name: Values.of(columns[name]) for name in self.names & columns.keys()}
        matrix = encode(self.fields, known, leads)
        return probability(self.intercept + matrix @ np.array(self.weights, dtype=np.float64))

    @property
    def trust(self) -> float:
        """Return the weight of the model beside the rules: n / (n + 200)."""
        return self.card.labels / (self.card.labels + TRUST_HALF_AT)

    @property
    def names(self) -> frozenset[str]:
        """Return the fields that the model looks at."""
        return frozenset(field.name for field in self.fields)
