"""`genius top`: the lanes, live."""


def top() -> None:
    """Show the lanes live."""
