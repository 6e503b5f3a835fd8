"""What an operator can mend."""


class OperatorError(Exception):
    """Its text says what is wrong and how to mend it; the command line shows it without a traceback."""
