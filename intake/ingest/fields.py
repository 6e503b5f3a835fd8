"""Types of what tenants send in bulk."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from tasks.payloads import Text, storable

MOST_ATTRIBUTES = 200
LONGEST_NAME = 100
LONGEST_VALUE = 4_000
LARGEST_INTEGER = 2**53
"""Beyond it JSON readers disagree."""
CLOCKS_DIFFER = timedelta(days=1)
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


class Body(BaseModel):
    """Base of what tenants send: unknown fields are refused, and errors do not repeat the input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _flat(attributes: dict[str, JsonValue]) -> dict[str, JsonValue]:
    for name, value in attributes.items():
        storable(name)
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"must have names of 1 to {LONGEST_NAME} characters")
        _check_scalar(name, value)
    return attributes


def _check_scalar(name: str, value: JsonValue) -> None:
    match value:
        case None | bool():
            return
        case str():
            storable(value)
            if len(value) > LONGEST_VALUE:
                raise ValueError(f"has at {name!r} a text of more than {LONGEST_VALUE} characters")
        case int():
            if abs(value) > LARGEST_INTEGER:
                raise ValueError(f"has at {name!r} an integer beyond 2^53")
        case float():
            if not math.isfinite(value):
                raise ValueError(f"has at {name!r} a number that is not finite")
        case _:
            raise ValueError(
                f"must hold texts, numbers, true, false or null; {name!r} is a list or an object"
            )


def _plausible(moment: datetime) -> datetime:
    if moment > datetime.now(UTC) + CLOCKS_DIFFER:
        raise ValueError("must not be more than a day in the future")
    if moment < EARLIEST:
        raise ValueError(f"must not be before {EARLIEST.year}")
    return moment


def _storable_moment(moment: datetime) -> datetime:
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"must be between {EARLIEST.year} and {LATEST.year}")
    return moment


Attributes = Annotated[
    dict[str, JsonValue],
    Field(max_length=MOST_ATTRIBUTES, description="Names to texts, numbers, booleans or null."),
    AfterValidator(_flat),
]
Moment = Annotated[AwareDatetime, AfterValidator(_plausible)]
Day = Annotated[AwareDatetime, AfterValidator(_storable_moment)]
Short = Annotated[Text, Field(min_length=1, max_length=200)]
Long = Annotated[Text, Field(min_length=1, max_length=2_000)]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]


def shaped(pattern: str, message: str) -> AfterValidator:
    """Refuse what does not match *pattern* as a whole, in words: a pattern is no advice."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(message)
        return value

    return AfterValidator(check)


Email = Annotated[
    Text,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    shaped(r"[^@\s]+@[^@\s]+", "must be an e-mail address, as in ann@example.com"),
    Field(json_schema_extra={"format": "email"}),
]
Currency = Annotated[str, shaped(r"[A-Z]{3}", "must be three capital letters, as in EUR")]


def unique(name: str, values: list[str]) -> None:
    """Refuse a request in which two items bear the same *name*."""
    seen: dict[str, int] = {}
    for place, value in enumerate(values):
        if seen.setdefault(value, place) != place:
            raise ValueError(f"items {seen[value]} and {place} have the same {name}; send each once")
