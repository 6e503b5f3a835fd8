"""What the tenants of a chaos run ask for, and what must come of it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

FAMILIES = {
    "test.leave_campaign": 18,
    "test.leave_briefly": 12,
    "test.ask_remote": 12,
    "leads.score": 18,
    "social.publish_post": 14,
    "analytics.rollup": 12,
    "quota.account": 14,
}
"""Kind to weight."""

FAILS_FIRST = 0.25
FAILS_FOR_GOOD = 0.02
IS_CANCELLED = 0.02
"""Shares of the jobs that can."""


class Ending(StrEnum):
    """How a job may end; anything else is a finding."""

    SUCCEEDED = "succeeded"
    DEAD = "dead"
    EITHER = "either"
    """Its tenant cancels it, and may come too late."""


@dataclass(frozen=True, slots=True)
class Order:
    """One job as its tenant wants it."""

    key: str
    """Idempotency key; what the job leaves is named after it."""
    kind: str
    payload: dict[str, Any]
    ending: Ending = Ending.SUCCEEDED

    def body(self) -> dict[str, Any]:
        return {"kind": self.kind, "payload": self.payload}


@dataclass(frozen=True, slots=True)
class Supplies:
    """What a tenant's jobs work on."""

    accounts: Sequence[UUID]
    """Social accounts to post to."""
    leads: list[UUID]


def leads_needed(jobs: int) -> int:
    """Return how many leads *jobs* orders score at most."""
    return jobs


def draw_orders(jobs: int, supplies: Supplies, chance: random.Random) -> list[Order]:
    """Draw *jobs* orders; the same chance draws the same."""
    kinds = chance.choices(list(FAMILIES), weights=list(FAMILIES.values()), k=jobs)
    return [_order(f"order-{number}", kind, supplies, chance) for number, kind in enumerate(kinds)]


def _order(key: str, kind: str, supplies: Supplies, chance: random.Random) -> Order:
    match kind:
        case "test.leave_campaign" | "test.leave_briefly":
            return _leave(key, kind, chance)
        case "test.ask_remote":
            refusals = chance.choice((0, 1, 1, 2))
            return Order(key, kind, {"name": key, "refusals": refusals, "after_ms": chance.randint(50, 1500)})
        case "leads.score":
            return Order(key, kind, {"lead_ids": [str(supplies.leads.pop())]})
        case "social.publish_post":
            account = chance.choice(supplies.accounts)
            return Order(key, kind, {"account_id": str(account), "text": f"{key} says hello"})
        case _:
            return Order(key, kind, {})


def _leave(key: str, kind: str, chance: random.Random) -> Order:
    payload: dict[str, Any] = {"name": key, "sleep_ms": chance.choice((0, 0, 2, 10, 50))}
    fate = chance.random()
    if fate < FAILS_FOR_GOOD:
        return Order(key, kind, payload | {"failures": 100, "permanent": True}, Ending.DEAD)
    if fate < FAILS_FOR_GOOD + IS_CANCELLED:
        return Order(key, kind, payload | {"sleep_ms": 300}, Ending.EITHER)
    if fate < FAILS_FOR_GOOD + IS_CANCELLED + FAILS_FIRST:
        payload["failures"] = chance.randint(1, 2)
    return Order(key, kind, payload)


def make_ids(count: int) -> list[UUID]:
    return [uuid7() for _ in range(count)]
