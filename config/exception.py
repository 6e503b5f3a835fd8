"""Tell of an exception where it came from and what it is, and its words only if they are not a tenant's.

A library's error quotes what it was given: a row that exists already, a field that does not fit, an address
with a token in it.
"""

import traceback
from collections.abc import Iterator
from types import TracebackType

import psycopg
from pydantic import ValidationError
from redis import RedisError
from sqlalchemy.exc import DBAPIError

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

OWN = ("config.", "models.", "worker.", "tasks.", "intake.", "ops.")
"""Errors of ours say what they say on purpose."""

OF_CODE = (
    ArithmeticError,
    AttributeError,
    ImportError,
    NameError,
    NotImplementedError,
    OSError,
    RedisError,
    TypeError,
)
"""They speak of code and of connections, not of what was sent."""

CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def discreetly(exc_info: ExcInfo) -> str:
    """Spell an exception with all that led to it, in the manner of Python."""
    return "".join(_chain(exc_info[1])).rstrip("\n")


def plainly(exc_info: ExcInfo) -> str:
    """Spell an exception as Python does, words and all: for development."""
    return "".join(traceback.format_exception(exc_info[1])).rstrip("\n")


def _chain(error: BaseException) -> Iterator[str]:
    if error.__cause__ is not None:
        yield from _chain(error.__cause__)
        yield CAUSE
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _chain(error.__context__)
        yield CONTEXT
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from traceback.format_tb(error.__traceback__)
    yield f"{_name(error)}: {words(error)}\n"


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def words(error: BaseException) -> str:
    """Return what an error says, as far as it may be written down."""
    match error:
        case DBAPIError(orig=psycopg.Error() as orig):
            return f"{_name(orig)}: {words(orig)}"
        case psycopg.Error(sqlstate=str(code), diag=diag):
            places = (diag.table_name, diag.column_name, diag.constraint_name)
            return " ".join([code, *(place for place in places if place)])
        case ValidationError():
            return ", ".join(sorted({one["type"] for one in error.errors(include_input=False)}))
        case _ if isinstance(error, (*OF_CODE, psycopg.OperationalError)):
            return str(error)
        case _ if type(error).__module__.startswith(OWN):
            return str(error)
        case _:
            return "(its words may be a tenant's)"
