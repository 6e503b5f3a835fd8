"""The documentation as a test reads it: its code, its commands, and what each command is."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.settings import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(r"^```(\w+)(?: title=\"[^\"]*\")?\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(genius [a-z][^`]*)`")
ASSIGNMENT = re.compile(r"^([A-Z_]+)=(.*)$", re.DOTALL)
SUBSTITUTION = re.compile(r"^\$\((.*)\)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """One line that a reader is told to run."""

    page: str
    words: tuple[str, ...]
    assigned_to: str | None = None
    """The shell variable that takes what it prints."""

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """Return every page that people read."""
    return [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), ROOT / "worker" / "fairshare" / "README.md"]


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's blocks of code in a language."""
    return [body for found, body in BLOCK.findall(page.read_text()) if found == language]


def commands(page: Path) -> list[Command]:
    """Return what a page tells to run in a shell; settings of variables to fixed values are no commands."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return [command for line in lines if (command := _command(str(page.relative_to(ROOT)), line))]


def _command(page: str, line: str) -> Command | None:
    assigned = ASSIGNMENT.match(line)
    if assigned and (inner := SUBSTITUTION.match(assigned[2])):
        return Command(page, tuple(shlex.split(inner[1])), assigned[1])
    words = shlex.split(line, comments=True)
    while words and ASSIGNMENT.match(words[0]):
        words.pop(0)
    return Command(page, tuple(words)) if words and words[0] != "export" else None


def inline_commands(page: Path) -> Iterator[Command]:
    """Return the commands of ours that a page mentions in passing."""
    for text in INLINE.findall(page.read_text()):
        yield Command(str(page.relative_to(ROOT)), tuple(shlex.split(text.replace("|", " "))))
