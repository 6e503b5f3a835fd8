"""Faults that wait at one point of a process: files in a folder that a test lays and the process finds."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

STRUCK = ".struck"


class Moment(StrEnum):
    """When, relative to an act."""

    BEFORE = "before"
    BEFORE_COMMIT = "before commit"
    """It was done in a transaction that is about to commit."""
    AFTER = "after"
    """Done, and committed if there was a transaction; its caller does not know yet."""


class Mode(StrEnum):
    """What happens there."""

    KILLED = "killed"
    DISCONNECTED = "disconnected"
    """The connection that was in use is lost."""
    STOPPED = "stopped"
    """The process stands still until others have taken over, and then goes on."""


STOPPED_S = 6.0
"""A lease of the tests, the time until the relay publishes, and another attempt."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A fault that strikes once."""

    act: str
    moment: Moment
    mode: Mode
    tokens: tuple[str, ...] = ()
    """One of these has to occur in what the act is done with; none: any will do."""

    def matches(self, act: str, moment: Moment, said: str) -> bool:
        """Tell whether the fault waits at this point."""
        is_here = (self.act, self.moment) == (act, moment)
        return is_here and (not self.tokens or any(token in said for token in self.tokens))


def lay(folder: Path, name: str, arm: Arm) -> None:
    """Lay a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{name}"
    draft.write_text(json.dumps(asdict(arm)))
    draft.rename(folder / name)


def laid(folder: Path) -> Iterable[tuple[Path, Arm]]:
    """Yield the faults that have not struck."""
    for path in folder.glob("[!.]*"):
        if path.suffix != STRUCK:
            try:
                raw = json.loads(path.read_text())
            except FileNotFoundError:  # it struck just now
                continue
            yield path, Arm(raw["act"], Moment(raw["moment"]), Mode(raw["mode"]), tuple(raw["tokens"]))


def take(path: Path) -> bool:
    """Let the fault strike, if nobody else has."""
    try:
        path.rename(path.with_name(path.name + STRUCK))
    except FileNotFoundError:
        return False
    return True


def has_struck(folder: Path, name: str) -> bool:
    return (folder / (name + STRUCK)).exists()
