"""Where tables go: as wide as the terminal, wide enough for a table where there is none."""

from rich.console import Console

PIPED_WIDTH = 160


def table_console() -> Console:
    """Return a console for tables."""
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    return console
