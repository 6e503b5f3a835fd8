"""A tenant's client: it repeats what has no certain answer, with the same key, until it has one."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.work import Ending, Order

BATCH = 20
BATCHED = 0.6
"""Share of the orders that travel in batches."""
ASKED_AGAIN = 0.03
"""Share of the requests that are repeated although they were answered."""
PATIENCE_S = 4.0
PAUSE_S = 0.2
EVENTS = 25
"""Analytics events in one request."""


@dataclass
class Ledger:
    """What a tenant was told."""

    accepted: dict[str, UUID] = field(default_factory=dict)
    """Key of each order to the job it got."""
    events: int = 0
    """Analytics events that were received, each with its key."""
    requests: int = 0
    unanswered: int = 0
    """Requests without an answer, or with one that leaves open what was done."""
    wrong: list[str] = field(default_factory=list)
    """Answers that must not be."""


class Client(threading.Thread):
    """Submits the orders of one tenant at an even pace.

    Args:
        lasting: Seconds over which the orders are spread.
    """

    def __init__(
        self, url: str, token: str, orders: Sequence[Order], *, lasting: float, chance: random.Random
    ) -> None:
        super().__init__(name="client", daemon=True)
        self.ledger = Ledger()
        self._orders = orders
        self._lasting = lasting
        self._chance = chance
        self._http = httpx.Client(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
        )

    def run(self) -> None:
        """Submit every order, then end."""
        try:
            with self._http:
                self._submit_all()
        except RefusedError as error:
            self.ledger.wrong.append(str(error))

    def submit_now(self, orders: Sequence[Order]) -> None:
        """Submit *orders* from the calling thread."""
        with self._http:
            self._submit(orders)

    def _submit_all(self) -> None:
        began = time.monotonic()
        done = 0
        while done < len(self._orders):
            due = began + self._lasting * done / len(self._orders)
            time.sleep(max(due - time.monotonic(), 0))
            together = BATCH if self._chance.random() < BATCHED / BATCH else 1
            self._submit(self._orders[done : done + together])
            done += together
            if self._chance.random() < 1 / EVENTS:
                self._send_events()

    def _submit(self, orders: Sequence[Order]) -> None:
        """Submit *orders* in one request, and now and then once more."""
        first = self._post_orders(orders)
        self.ledger.accepted.update(zip((order.key for order in orders), first, strict=True))
        if self._chance.random() < ASKED_AGAIN and self._post_orders(orders) != first:
            self.ledger.wrong.append(f"the same key gave another job: {orders[0].key}")
        for order, job in zip(orders, first, strict=True):
            if order.ending is Ending.EITHER:
                self._repeat(f"/jobs/{job}/cancel", {}, {}, fine={200, 409})

    def _post_orders(self, orders: Sequence[Order]) -> list[UUID]:
        if len(orders) == 1:
            [order] = orders
            answer = self._repeat("/jobs", order.body(), {"Idempotency-Key": order.key}, fine={202})
            return [UUID(answer["id"])]
        jobs = [order.body() | {"idempotency_key": order.key} for order in orders]
        answer = self._repeat("/jobs/batch", {"jobs": jobs}, {}, fine={202})
        return [UUID(job["id"]) for job in answer["jobs"]]

    def _send_events(self) -> None:
        number = self.ledger.events
        moment = datetime.now(UTC).isoformat()
        events = [
            {"key": f"event-{number + n}", "name": "view", "occurred_at": moment, "visitor": str(n)}
            for n in range(EVENTS)
        ]
        self._repeat("/analytics/events", {"events": events}, {}, fine={200})
        self.ledger.events += EVENTS

    def _repeat(self, path: str, body: Any, headers: dict[str, str], *, fine: set[int]) -> Any:
        """Send a request until its answer is certain."""
        while True:
            self.ledger.requests += 1
            try:
                answer = self._http.post(path, json=body, headers=headers)
            except httpx.TransportError:
                self.ledger.unanswered += 1
            else:
                if answer.status_code in fine:
                    return answer.json()
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    raise RefusedError(answer)
                self.ledger.unanswered += 1
            time.sleep(PAUSE_S)


class RefusedError(Exception):
    """The intake refused what it should have taken; carries its answer."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.status_code}: {answer.text[:300]}")
        self.answer = answer
