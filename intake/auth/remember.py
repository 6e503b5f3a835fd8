"""What the database said of callers, remembered for two seconds at most."""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Generic, TypeVar
from uuid import UUID

from starlette.concurrency import run_in_threadpool

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

REMEMBERED = timedelta(seconds=2)
"""A suspension, a revocation, a change of plan or role is in force within this time, heard of or not."""
MOST_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Memory(Generic[ValueT]):
    value: ValueT
    until: float
    generation: int


class Remembered(Generic[KeyT, ValueT]):
    """Remembers for a moment; what is unknown is asked for each time.

    Used from the event loop only, so it needs no lock; two requests may load one thing at once, harmlessly.
    """

    def __init__(
        self,
        load: Callable[[KeyT], ValueT | None],
        *,
        organization_of: Callable[[KeyT], UUID],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._load = load
        self._organization_of = organization_of
        self._clock = clock
        self._known: OrderedDict[KeyT, _Memory[ValueT]] = OrderedDict()
        self._generations: Counter[UUID] = Counter()
        """How often an organization was forgotten: what was asked for before that does not count."""

    async def get(self, key: KeyT) -> ValueT | None:
        """Return what the database says, at most `REMEMBERED` out of date."""
        asked, generation = self._clock(), self._generations[self._organization_of(key)]
        known = self._known.get(key)
        if known is not None and asked < known.until and known.generation == generation:
            return known.value
        value = await run_in_threadpool(self._load, key)
        self._known.pop(key, None)
        if value is not None:
            self._known[key] = _Memory(value, asked + REMEMBERED.total_seconds(), generation)
            if len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return value

    def forget(self, organization_id: UUID) -> None:
        """Ask anew for everything of an organization, also where an answer is on its way."""
        if len(self._generations) > MOST_REMEMBERED:
            self._known.clear()
            self._generations.clear()
        self._generations[organization_id] += 1
