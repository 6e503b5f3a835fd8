"""What a channel asks the server on the connection it reads from, and what it is answered."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import NoScriptError

from worker.fairshare.keeper import End, by_lane
from worker.fairshare.queue import Policy, Reserved, read_reserved, reserve_arguments
from worker.fairshare.script import Argument, load

BELL = "BLPOP"
RESERVE = "reserve"
FINISH = "finish"

Command = list[Argument]


class Conversation:
    """Questions that went out together, whose answers come in their order.

    ``reserve`` brings along how jobs ended. What was brought along is kept until it is answered: if the
    answer never comes it is told again, which does no harm.

    Args:
        base_of: Returns the key of a lane, by its name.
    """

    def __init__(self, policy: Policy, base_of: Callable[[str], str]) -> None:
        self._policy = policy
        self._base_of = base_of
        self._awaited: list[str] = []
        self._carried: list[End] = []
        self._asked: list[str] = []
        self._turn = 0

    def reserve(self, lanes: Sequence[str], count: int, ends: list[End]) -> list[Command]:
        """Spell a request for jobs of *lanes*, each time beginning with another one."""
        self._turn = (self._turn + 1) % len(lanes)
        self._asked = [*lanes[self._turn :], *lanes[: self._turn]]
        self._carried = ends
        commands = [self._finish(lane, rows) for lane, rows in by_lane(ends).items()]
        self._awaited = [FINISH] * len(commands) + [RESERVE]
        bases = [self._base_of(lane) for lane in self._asked]
        return [*commands, load(RESERVE).command(bases, reserve_arguments(self._policy, count))]

    def _finish(self, lane: str, rows: Sequence[tuple[Argument, ...]]) -> Command:
        arguments = ["", self._policy.max_tries, *(value for row in rows for value in row)]
        return load(FINISH).command([self._base_of(lane)], arguments)

    def listen(self, bells: Sequence[str], seconds: float) -> list[Command]:
        """Spell the wait for a bell."""
        self._awaited = [BELL]
        return [[BELL, *bells, f"{seconds:.3f}"]]

    @property
    def awaits_bell(self) -> bool:
        """Whether nothing was asked but for a bell."""
        return self._awaited == [BELL]

    @property
    def awaits_jobs(self) -> bool:
        """Whether the server may be leasing jobs to us at this moment."""
        return RESERVE in self._awaited

    def read(self, client: Any) -> tuple[list[Reserved], timedelta | None]:
        """Read the answers.

        A server that does not know the scripts is told them. Each answer stands for itself: jobs may come
        although what was brought along was not understood, and `give_up` returns that.

        Returns:
            The jobs, and when to look again without a bell if there is none.
        """
        missing = False
        found: tuple[list[Reserved], timedelta | None] = ([], timedelta(0))
        while self._awaited:
            name = self._awaited.pop(0)
            try:
                answer = client.parse_response(client.connection, name)
            except NoScriptError:
                missing = True
                continue
            if name == RESERVE:
                found = read_reserved(answer, self._asked)
        if missing:
            load_scripts(client.connection)
        else:
            self._carried = []
        return found

    def give_up(self) -> list[End]:
        """Await nothing more, and return what was brought along: it may not have arrived."""
        carried, self._carried, self._awaited = self._carried, [], []
        return carried


def load_scripts(connection: Any) -> None:
    """Tell the server the scripts that a conversation runs by their digests."""
    for verb in (FINISH, RESERVE):
        connection.send_command("SCRIPT LOAD", load(verb).text)
        connection.read_response()
