"""What the log tells of an error."""

import psycopg
import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import IntegrityError

from config.exception import discreetly, words
from worker.context import PermanentJobError


class Payload(BaseModel):
    number: int


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Payload.model_validate({"number": "MARK"})
    return caught.value


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("MARK"), "(its words may be a tenant's)"),
        (KeyError("MARK"), "(its words may be a tenant's)"),
        (invalid(), "int_parsing"),
        (psycopg.errors.UniqueViolation("Key (email)=(MARK) exists"), "23505"),
        (
            IntegrityError("INSERT", {"email": "MARK"}, psycopg.errors.UniqueViolation("MARK")),
            "psycopg.errors.UniqueViolation: 23505",
        ),
        (PermanentJobError("the account is gone"), "the account is gone"),
        (AttributeError("'X' object has no attribute 'y'"), "'X' object has no attribute 'y'"),
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
    ],
)
def test_words_that_may_be_a_tenants_are_left_out(error: Exception, told: str) -> None:
    assert words(error) == told


def test_where_an_error_came_from_and_what_led_to_it_is_told() -> None:
    try:
        try:
            raise ValueError("MARK")  # noqa: TRY301 - as it stands in code
        except ValueError as error:
            raise PermanentJobError("it cannot be read") from error
    except PermanentJobError as error:
        told = discreetly((type(error), error, error.__traceback__))
    assert "MARK" not in told.replace('ValueError("MARK")', "")  # the line of code itself
    assert told.index("ValueError: (its words") < told.index("direct cause") < told.index("it cannot be read")
    assert told.count("test_exception.py") == 2
