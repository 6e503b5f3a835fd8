"""The invariants of docs/fairness.md over random histories, on a real Redis beside a model."""

import os
from typing import Any

import pytest
import redis

from tests.integration.fairshare.walk import Walk

SEEDS = 40
VERBS = 10
"""Of eleven; the rarest need not come up in every history."""
STEPS = int(os.environ.get("FAIRSHARE_STEPS", "20000")) // SEEDS


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_history_keeps_every_invariant_and_matches_the_model(
    seed: int, client: redis.Redis, clock: Any
) -> None:
    walk = Walk(client, clock, seed)
    for _ in range(STEPS):
        walk.step()
    walk.drain()
    assert len(walk.verbs) >= VERBS
