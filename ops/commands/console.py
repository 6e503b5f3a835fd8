"""Where tables go: as wide as the terminal, wide enough for a table where there is none."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

PIPED_WIDTH = 160
UUID_WIDTH = 36
"""An id is copied from a table: it stands in one line."""
WIDE = 100
"""On narrower terminals tables leave columns out."""


def table_console() -> Console:
    """Return a console for tables."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console


def list_table(title: str, headings: Sequence[str], *, numbers: Sequence[str] = ()) -> Table:
    """Return a table without lines; its first column folds, *numbers* stand to the right."""
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, heading in enumerate(headings):
        right = heading in numbers
        table.add_column(
            heading,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=at > 0 and right,
            min_width=UUID_WIDTH if at == 0 else None,
        )
    return table


def with_note(text: str, note: str | None, *, style: str = "dim") -> str:
    """Return a cell with a note in a line of its own."""
    return f"{text}\n[{style}]{escape(note)}[/]" if note else text
