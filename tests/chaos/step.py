"""Every step of a job's life at which a process may die or lose its connection."""

from dataclasses import dataclass, replace
from enum import StrEnum

from tests.chaos.arm import Mode, Moment

BEFORE, BEFORE_COMMIT, AFTER = Moment.BEFORE, Moment.BEFORE_COMMIT, Moment.AFTER


class Work(StrEnum):
    """What the job of a step does."""

    PLAIN = "plain"
    LONG = "long"
    """Its lease is renewed while it runs."""
    FAILS_ONCE = "fails once"
    REFUSED_ONCE = "refused once"
    """A remote asks it to come back later."""
    FAILS_FOR_GOOD = "fails for good"
    POST = "post"
    BRIEF = "brief"
    """It shares a transaction with others, and has no lease."""


@dataclass(frozen=True, slots=True)
class Step:
    """One point in the life of a job."""

    name: str
    act: str
    moment: Moment
    work: Work = Work.PLAIN
    modes: frozenset[Mode] = frozenset({Mode.KILLED, Mode.DISCONNECTED})


def _around(what: str, act: str, *moments: Moment, work: Work = Work.PLAIN) -> tuple[Step, ...]:
    return tuple(Step(f"{what}, {moment}", act, moment, work) for moment in moments)


def _also_stopped(*steps: Step) -> tuple[Step, ...]:
    """Let the process also stand still there: it wakes up when its lease is another's."""
    return tuple(replace(step, modes=frozenset(Mode)) for step in steps)


SUBMIT_STEPS = (
    *_around("record", "submit", BEFORE, AFTER),
    *_around("publish", "publish", BEFORE, AFTER),
    *_around("clear the outbox", "mark published", BEFORE, AFTER),
)


def _failure_steps(work: Work) -> tuple[Step, ...]:
    return (
        *_around(f"{work}: record", "fail", BEFORE, AFTER, work=work),
        *_around(f"{work}: publish the next attempt", "publish", BEFORE, AFTER, work=work),
        *_around(f"{work}: clear the outbox", "mark published", BEFORE, AFTER, work=work),
    )


WORKER_STEPS = (
    *_around("claim", "claim", BEFORE, AFTER),
    *_also_stopped(*_around("leave the effect", "effect", BEFORE)),
    *_also_stopped(*_around("complete", "complete", BEFORE, BEFORE_COMMIT, AFTER)),
    *_around("renew the lease", "renew", BEFORE, AFTER, work=Work.LONG),
    *_failure_steps(Work.FAILS_ONCE),
    *_failure_steps(Work.REFUSED_ONCE),
    *_also_stopped(*_around("fails for good: record", "fail", BEFORE, AFTER, work=Work.FAILS_FOR_GOOD)),
    *_around("post: intent", "write publishing", BEFORE, BEFORE_COMMIT, AFTER, work=Work.POST),
    *_also_stopped(*_around("post: call", "call", BEFORE, AFTER, work=Work.POST)),
    *_around("post: outcome", "write published", BEFORE, BEFORE_COMMIT, AFTER, work=Work.POST),
    *_around("post: complete", "complete", BEFORE, AFTER, work=Work.POST),
    *_around("brief: hold", "hold", BEFORE, AFTER, work=Work.BRIEF),
    *_also_stopped(*_around("brief: leave the effect", "effect", BEFORE, work=Work.BRIEF)),
    *_also_stopped(*_around("brief: complete", "complete", BEFORE, BEFORE_COMMIT, AFTER, work=Work.BRIEF)),
    Step("note the acknowledgement", "note acknowledgement", BEFORE, modes=frozenset({Mode.KILLED})),
    *_around("acknowledge", "acknowledge", BEFORE, AFTER),
)

FIRE_STEPS = (
    # In this order each strikes in firing, before the relay takes up what the one before left in the outbox.
    *_around("fire: clear the outbox", "mark published", AFTER, BEFORE),
    *_around("fire: publish", "publish", AFTER, BEFORE),
    *_around("fire: record", "fire", AFTER, BEFORE),
)
OUTBOX_STEPS = (
    *_around("outbox: publish", "publish", BEFORE, AFTER),
    *_around("outbox: delete", "empty outbox", BEFORE, BEFORE_COMMIT, AFTER),
)
REQUEUE_STEPS = _around("requeue", "requeue", BEFORE, AFTER)
REBUILD_STEPS = (
    *_around("rebuild: publish", "publish", BEFORE, AFTER),
    *_around("rebuild: note the generation", "note generation", BEFORE, BEFORE_COMMIT, AFTER),
)
