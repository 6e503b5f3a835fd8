"""Load the Lua verbs and run them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from redis.exceptions import NoScriptError

Argument = str | bytes | int | float


class ScriptClient(Protocol):
    """What a script needs of a Redis client."""

    connection_pool: Any

    def execute_command(self, *args: Any, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Script:
    """One verb: what it shares with others, then its own file."""

    verb: str
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())

    def command(self, keys: Sequence[str], arguments: Sequence[Argument]) -> list[Argument]:
        """Spell the command that runs the script, for a connection that is written to by hand."""
        return ["EVALSHA", self.sha, len(keys), *keys, *arguments]

    def run(self, client: ScriptClient, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run the script; a server that does not know it yet, such as one just restarted, is told."""
        command = self.command(keys, arguments)
        try:
            return client.execute_command(*command)
        except NoScriptError:
            return client.execute_command("EVAL", self.text, *command[2:])

    def run_each(
        self, client: ScriptClient, keys: Sequence[str], batches: Iterable[Sequence[Argument]]
    ) -> list[Any]:
        """Run the script for one batch after the other; the next is made while the server works on the last.

        A connection that breaks is not tried again: what the server did with the last batch is unknown.
        """
        connection = client.connection_pool.get_connection()
        answers: list[Any] = []
        sent: list[Argument] = []
        try:
            for arguments in batches:
                if sent:
                    answers.append(self._answer(connection, sent))
                sent = self.command(keys, arguments)
                connection.send_command(*sent)
            if sent:
                answers.append(self._answer(connection, sent))
        except BaseException:
            connection.disconnect()  # an answer may be under way that nobody will read
            raise
        finally:
            client.connection_pool.release(connection)
        return answers

    def _answer(self, connection: Any, command: Sequence[Argument]) -> Any:
        try:
            return connection.read_response()
        except NoScriptError:
            connection.send_command("EVAL", self.text, *command[2:])
            return connection.read_response()


SHARED = {"finish": ("ending",), "restore": ("ending",), "reserve": ("ending", "order")}
"""What stands between ``lane.lua`` and a verb that needs more."""


@cache
def load(verb: str) -> Script:
    """Return the script of *verb*."""
    parts = ("lane", *SHARED.get(verb, ()), verb)
    return Script(verb, "\n".join(source(part) for part in parts))


def source(name: str) -> str:
    """Read ``lua/<name>.lua``."""
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
