"""Load the Lua verbs and run them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from redis.exceptions import NoScriptError

Argument = str | bytes | int | float


class ScriptClient(Protocol):
    """What a script needs of a Redis client."""

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
