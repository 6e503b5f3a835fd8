"""How good a model is on leads it has not seen: ranking, sharpness and calibration."""

import numpy as np

from tasks.lead_scoring.engagement import Floats, Integers

FOLDS = 5
BINS = 10
SEED = 20_260_517
"""Folds are the same for the same leads, so that two trainings can be compared."""


def stratified_folds(labels: Floats, folds: int = FOLDS) -> Integers:
    """Return the fold of each lead; each fold has its share of both classes."""
    chance = np.random.default_rng(SEED)
    fold = np.empty(len(labels), dtype=np.int64)
    for value in (0.0, 1.0):
        rows = np.flatnonzero(labels == value)
        fold[chance.permutation(rows)] = np.arange(len(rows)) % folds
    return fold


def auc(labels: Floats, scores: Floats) -> float:
    """Return how often a converted lead is ranked above a lost one; ties count half.

    Source: Mann-Whitney U by mid-ranks.
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    ranks = (last_rank - (counts - 1) / 2.0)[place]
    positives = labels == 1.0
    n_positive, n_negative = int(positives.sum()), int((~positives).sum())
    won = float(ranks[positives].sum()) - n_positive * (n_positive + 1) / 2.0
    return won / (n_positive * n_negative)


def brier(labels: Floats, chances: Floats) -> float:
    """Return the mean squared error of the chances."""
    return float(np.mean((chances - labels) ** 2))


def calibration_error(labels: Floats, chances: Floats, bins: int = BINS) -> float:
    """Return by how much the chances are off on average, over bins of equally many leads."""
    groups = np.array_split(np.argsort(chances, kind="stable"), bins)
    off = [len(rows) * abs(labels[rows].mean() - chances[rows].mean()) for rows in groups if len(rows)]
    return float(sum(off) / len(labels))
