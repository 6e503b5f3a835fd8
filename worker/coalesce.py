"""Let calls that threads make at the same time share one, as a database groups commits."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class _Turn(Generic[ItemT, ResultT]):
    """One caller and its item; it sleeps until it is answered or told to lead."""

    __slots__ = ("_sleep", "answer", "error", "item")

    def __init__(self, item: ItemT) -> None:
        self.item = item
        self.answer: tuple[ResultT] | None = None
        self.error: BaseException | None = None
        self._sleep = threading.Lock()
        self._sleep.acquire()

    def wait(self) -> None:
        self._sleep.acquire()

    def wake(self) -> None:
        self._sleep.release()

    @property
    def is_over(self) -> bool:
        return self.answer is not None or self.error is not None


class Coalescer(Generic[ItemT, ResultT]):
    """Answers single calls by calls for many: whoever comes while one is under way shares the next.

    A lone caller waits for nobody. When a shared call fails it has failed for all who share it.

    Args:
        run: Answers a batch of items of one key, one result an item, in their order; for each key it is
            called by one thread at a time.
        most: Items in one batch.
        key: What the items of a batch have in common.
        at_once: Batches that run at the same time, of different keys. While one waits for its turn it grows.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ItemT]], Sequence[ResultT]],
        *,
        most: int,
        key: Callable[[ItemT], Hashable] = lambda _: None,
        at_once: int = 1,
    ) -> None:
        self._run = run
        self._most = most
        self._key = key
        self._waiting: dict[Hashable, deque[_Turn[ItemT, ResultT]]] = {}
        """Of each key that somebody leads: those who share the next call."""
        self._lock = threading.Lock()
        self._gate = threading.Semaphore(at_once)

    def __call__(self, item: ItemT) -> ResultT:
        """Return the result for *item*, or raise what running its batch raised."""
        key, own = self._key(item), _Turn[ItemT, ResultT](item)
        if self._joins(key, own):
            own.wait()
        if not own.is_over:
            self._lead(key, own)
        if own.error is not None:
            raise own.error
        assert own.answer is not None
        return own.answer[0]

    def _joins(self, key: Hashable, own: _Turn[ItemT, ResultT]) -> bool:
        """Stand behind the one who leads, if somebody does; otherwise *own* leads from now on."""
        with self._lock:
            queue = self._waiting.get(key)
            if queue is None:
                self._waiting[key] = deque()
                return False
            queue.append(own)
            return True

    def _lead(self, key: Hashable, own: _Turn[ItemT, ResultT]) -> None:
        """Run one batch with all who wait, then let the next one lead."""
        try:
            with self._gate:
                self._answer(self._gather(key, own))
        finally:
            self._hand_over(key)

    def _gather(self, key: Hashable, own: _Turn[ItemT, ResultT]) -> list[_Turn[ItemT, ResultT]]:
        with self._lock:
            queue = self._waiting[key]
            return [own, *(queue.popleft() for _ in range(min(self._most - 1, len(queue))))]

    def _hand_over(self, key: Hashable) -> None:
        with self._lock:
            queue = self._waiting[key]
            successor = queue.popleft() if queue else None
            if successor is None:
                del self._waiting[key]
        if successor is not None:
            successor.wake()

    def _answer(self, batch: Sequence[_Turn[ItemT, ResultT]]) -> None:
        try:
            results = self._run([turn.item for turn in batch])
            for turn, result in zip(batch, results, strict=True):
                turn.answer = (result,)
        except BaseException as error:
            for turn in batch:
                turn.error = error
            if not isinstance(error, Exception):
                raise
        finally:
            for turn in batch[1:]:
                turn.wake()
