"""How the work on one message ended, in a word."""

from enum import StrEnum


class Ending(StrEnum):
    """What metrics count and the worker's log says."""

    SUCCEEDED = "succeeded"
    RETRIED = "retried"
    """The attempt failed, and another one will be made."""
    DEAD = "dead"
    CANCELLED = "cancelled"
    MOVED_ON = "moved_on"
    """The message was late: its attempt had been made, or nobody wants it any more."""
    FORGED = "forged"
    GIVEN_BACK = "given_back"
    """Nobody knows what became of the attempt; the message comes again."""
    OVERTIME = "overtime"
    """It passed its time limit and did not stop: its process was ended."""
    LOST = "lost"
    """Its process died."""
