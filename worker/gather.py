"""Hand the messages of brief jobs to the pool in groups: one call and one transaction for many.

Celery makes of each message a request of its own, a call of the pool and an answer; for a job of less than a
millisecond that costs more than the job. This is the ``Strategy`` of the tasks of brief kinds. A message that
may not run in a group, or whose job did not succeed in one, goes Celery's own way.
"""

import time
from collections.abc import Callable, Sequence
from threading import get_ident
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from celery.concurrency.prefork import TaskPool as ProcessPool
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.strategy import default

from config.settings import get_settings
from worker.brief import Message, Verdict, may_be_brief, run_messages
from worker.ending import Ending
from worker.metrics.ended import count
from worker.origin import Origin
from worker.pointer import ForgedPointerError, Pointer, read_pointer

logger = get_logger(__name__)

MOST_IN_A_GROUP = 64
THREADS_AT_ONCE = 2
"""Groups of a kind in one process: while one waits for Postgres another runs, and the others grow."""


class Delivery(NamedTuple):
    """What Celery hands to a strategy."""

    message: Any
    body: Any
    ack: Callable[..., object]
    reject: Callable[..., object]
    callbacks: Any


Group = Sequence[tuple[Message, Delivery]]


class Gatherer:
    """The messages of one brief kind in one worker: those of one organization run together."""

    def __init__(self, task: Any, consumer: Any, alone: Callable[..., Any]) -> None:
        self._task = task
        self._consumer = consumer
        self._alone = alone
        self._secret = get_settings().pointer_secret.get_secret_value().encode()
        in_processes = isinstance(consumer.pool, ProcessPool)
        self._at_once = consumer.pool.num_processes if in_processes else THREADS_AT_ONCE
        self._when_free = consumer.controller._quick_acquire if in_processes else _at_once  # noqa: SLF001 - as Celery's own tasks do
        self._loop = get_ident()
        self._waiting: dict[UUID, list[tuple[Message, Delivery]]] = {}
        self._running = 0
        self._is_due = False

    def receive(
        self,
        message: Any,
        body: Any,
        ack: Callable[..., object],
        reject: Callable[..., object],
        callbacks: Any,
        **_: Any,
    ) -> None:
        """Take a message; it runs when what came with it has been received too."""
        delivery = Delivery(message, body, ack, reject, callbacks)
        pointer = self._pointer(message)
        if pointer is None:
            self._alone(*delivery)
            return
        self._tell("task-received", delivery, args=message.headers.get("argsrepr"), kwargs="{}")
        waiting = self._waiting.setdefault(pointer.organization_id, [])
        waiting.append(((pointer, Origin.of(message.headers)), delivery))
        if not self._is_due:
            self._is_due = True
            self._consumer.timer.call_after(0, self._hand_over)

    def _pointer(self, message: Any) -> Pointer | None:
        """Return what a message points to if its job may run in a group."""
        headers = message.headers
        if headers.get("eta") or headers.get("expires") or headers["id"] in state.revoked:
            return None
        try:
            arguments = tuple(orjson.loads(message.body)[0])
            pointer = read_pointer(self._task.name, arguments, self._secret, tenant=headers.get("tenant"))
        except (ForgedPointerError, ValueError, TypeError, LookupError):
            return None  # whoever runs it alone says what is wrong with it
        redelivered = bool(message.delivery_info.get("redelivered"))
        return pointer if may_be_brief(self._task.job_kind, pointer, redelivered=redelivered) else None

    def _hand_over(self) -> None:
        """Give the pool as many groups as it may have; what waits meanwhile grows."""
        self._is_due = False
        while self._waiting and self._running < self._at_once:
            organization = next(iter(self._waiting))
            waiting = self._waiting.pop(organization)
            group, rest = waiting[:MOST_IN_A_GROUP], waiting[MOST_IN_A_GROUP:]
            if rest:
                self._waiting[organization] = rest
            self._running += 1
            self._when_free(self._apply, group)

    def _apply(self, group: Group) -> None:
        began = time.monotonic()
        for _, delivery in group:
            self._tell("task-started", delivery)
        self._consumer.pool.apply_async(
            run_messages,
            (self._task.name, [message for message, _ in group]),
            callback=lambda verdicts: self._answered(group, verdicts, began),
            error_callback=lambda *_: self._answered(group, [Verdict.AGAIN] * len(group), began),
            soft_timeout=self._task.soft_time_limit,
            timeout=self._task.time_limit,
        )

    def _answered(self, group: Group, verdicts: Sequence[Verdict], began: float) -> None:
        """Go on in the event loop, to which the connections belong."""
        if get_ident() == self._loop:
            self._finish(group, verdicts, began)
        else:
            self._consumer.call_soon_ack(self._finish, group, verdicts, began)

    def _finish(self, group: Group, verdicts: Sequence[Verdict], began: float) -> None:
        self._running -= 1
        share = (time.monotonic() - began) / len(group)
        for (message, delivery), verdict in zip(group, verdicts, strict=True):
            self._answer(message, delivery, verdict, share)
        self._hand_over()

    def _answer(self, message: Message, delivery: Delivery, verdict: Verdict, seconds: float) -> None:
        errors = self._consumer.connection_errors
        match verdict:
            case Verdict.DONE:
                delivery.message.ack_log_error(logger, errors)
                self._count(message, Ending.SUCCEEDED, seconds)
                self._tell("task-succeeded", delivery, result=repr(Ending.SUCCEEDED.value), runtime=seconds)
            case Verdict.AGAIN:
                delivery.message.reject_log_error(logger, errors, requeue=True)
                self._count(message, Ending.GIVEN_BACK, seconds)
            case Verdict.ALONE:
                self._alone(*delivery)

    def _count(self, message: Message, ending: Ending, seconds: float) -> None:
        state.all_total_count[0] += 1
        state.total_count[self._task.name] += 1
        count(self._task.name, self._task.job_kind.lane, message[1], ending, seconds)

    def _tell(self, event: str, delivery: Delivery, **fields: Any) -> None:
        """Send one of Celery's events, for Flower, if somebody wants them."""
        events = self._consumer.event_dispatcher
        if events and events.enabled:
            events.send(event, uuid=delivery.message.headers["id"], name=self._task.name, **fields)


def _at_once(call: Callable[..., object], *arguments: object) -> None:
    call(*arguments)


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., None]:
    """Return what receives the messages of a brief kind; Celery calls it for each connection."""
    return Gatherer(task, consumer, default(task, app, consumer, **options)).receive
