"""Let calls that threads make at the same time share one, as a database groups commits."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Coalescer(Generic[ItemT, ResultT]):
    """Answers single calls by calls for many: whoever comes while one is under way shares the next.

    A lone caller waits for nobody. When a shared call fails it has failed for all who share it.

    Args:
        run: Answers a batch of items, one result an item, in their order; called by one thread at a time.
        most: Items in one batch.
    """

    def __init__(self, run: Callable[[Sequence[ItemT]], Sequence[ResultT]], *, most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: deque[tuple[ItemT, Future[ResultT]]] = deque()
        self._lock = threading.Lock()

    def __call__(self, item: ItemT) -> ResultT:
        """Return the result for *item*, or raise what running its batch raised."""
        own: Future[ResultT] = Future()
        self._waiting.append((item, own))
        with self._lock:
            while not own.done():
                self._answer([self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))])
        return own.result()

    def _answer(self, batch: Sequence[tuple[ItemT, Future[ResultT]]]) -> None:
        try:
            results = self._run([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
