"""Logistic regression with an L2 penalty, by Newton's method.

Source: iteratively reweighted least squares (Hastie, Tibshirani, Friedman: The Elements of Statistical
Learning, 4.4.1), with the penalty left off the intercept.
"""

import numpy as np

from tasks.lead_scoring.engagement import Floats

PENALTY = 1.0
MOST_STEPS = 50
SMALL_STEP = 1e-8
LARGEST_LOGIT = 35.0
"""Beyond it a probability is 0 or 1 in double precision."""


def fit(features: Floats, labels: Floats, *, penalty: float = PENALTY) -> tuple[float, Floats]:
    """Return intercept and weights that minimise the penalised log loss; deterministic.

    Args:
        features: One row a lead, one column a feature of about unit scale.
        labels: 1 for converted, 0 for lost; both occur.
        penalty: Half of it times the squared weights is added to the summed log loss.
    """
    design = np.column_stack((np.ones(len(features)), features))
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 0.0
    rate = labels.mean()
    weights = np.zeros(design.shape[1])
    weights[0] = np.log(rate / (1.0 - rate))
    for _ in range(MOST_STEPS):
        chances = probability(design @ weights)
        gradient = design.T @ (chances - labels) + ridge * weights
        curvature = np.maximum(chances * (1.0 - chances), 1e-9)
        hessian = (design * curvature[:, np.newaxis]).T @ design + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < SMALL_STEP:
            break
    return float(weights[0]), weights[1:]


def probability(logits: Floats) -> Floats:
    """Return the probabilities of *logits*."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT))))
