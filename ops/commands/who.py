"""Who runs a command: the audit log names them."""

import getpass


def operator() -> str:
    """Return the actor of changes that this command makes."""
    return f"operator:{getpass.getuser()}"
