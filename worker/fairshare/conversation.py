"""What a channel asks the server on the connection it reads from, and what it is answered."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import NoScriptError

from worker.fairshare.keeper import End, by_lane
from worker.fairshare.queue import FairQueue, Reserved, read_reserved, reserve_command
from worker.fairshare.script import Argument, load

BELL = "BLPOP"
RESERVE = "reserve"

Command = list[Argument]


class Conversation:
    """One question at a time, and its answer.

    ``reserve`` brings along how jobs ended. What was brought along is kept until it is answered: if the
    answer never comes it is told again, which does no harm.
    """

    def __init__(self) -> None:
        self._awaited = ""
        self._carried: list[End] = []
        self._asked: list[str] = []
        self._turn = 0

    def reserve(self, queues: Sequence[FairQueue], count: int, ends: list[End]) -> Command:
        """Spell a request for jobs of lanes, each time beginning with another one."""
        self._turn = (self._turn + 1) % len(queues)
        in_turn = [*queues[self._turn :], *queues[: self._turn]]
        self._asked = [queue.lane for queue in in_turn]
        self._carried = ends
        self._awaited = RESERVE
        return load(RESERVE).command(*reserve_command(in_turn, count, by_lane(ends)))

    def listen(self, bells: Sequence[str], seconds: float) -> Command:
        """Spell the wait for a bell."""
        self._awaited = BELL
        return [BELL, *bells, f"{seconds:.3f}"]

    @property
    def awaits_bell(self) -> bool:
        """Whether nothing was asked but for a bell."""
        return self._awaited == BELL

    @property
    def awaits_jobs(self) -> bool:
        """Whether the server may be leasing jobs to us at this moment."""
        return self._awaited == RESERVE

    def read(self, client: Any) -> tuple[list[Reserved], timedelta | None]:
        """Read the answer; a server that does not know the script is told it, to be asked again at once.

        Returns:
            The jobs, and when to look again without a bell if there is none.
        """
        awaited, self._awaited = self._awaited, ""
        try:
            answer = client.parse_response(client.connection, awaited)
        except NoScriptError:
            client.connection.send_command("SCRIPT LOAD", load(RESERVE).text)
            client.connection.read_response()
            return [], timedelta(0)
        self._carried = []
        return read_reserved(answer, self._asked) if awaited == RESERVE else ([], timedelta(0))

    def give_up(self) -> list[End]:
        """Await nothing more, and return what was brought along: it may not have arrived."""
        carried, self._carried, self._awaited = self._carried, [], ""
        return carried
