"""What beat does now and then, besides firing schedules and running the relay."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from models.session import Database, RelayDatabase

Act = Callable[[RelayDatabase, Database], int]
"""Does a bounded piece of work, safe to do at once elsewhere; answers how much there was."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that every beat looks after."""

    name: str
    every: timedelta
    act: Act


ERRANDS: dict[str, Errand] = {}
"""By name; modules add theirs as they are loaded."""


def now_and_then(every: timedelta) -> Callable[[Act], Act]:
    """Let every beat call a function now and then."""

    def register(act: Act) -> Act:
        ERRANDS[act.__name__] = Errand(act.__name__, every, act)
        return act

    return register
