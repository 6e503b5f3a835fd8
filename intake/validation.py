"""Turns what pydantic found wrong into fields and messages that say what to change."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from intake.problem import FieldError, InvalidRequestError
from tasks.catalog import TENANT_CATALOG

MOST_ERRORS = 100
"""A batch that is wrong throughout need not answer with thousands of errors."""

LONGEST_PATH = 200
"""Characters; an unknown field's name comes from the caller."""

_MESSAGES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field; remove it",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID, written as a string",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "timezone_aware": "must carry a time zone, as in 2026-01-31T09:00:00Z",
    "datetime_type": "must be a date and time, as in 2026-01-31T09:00:00Z",
    "datetime_parsing": "must be a date and time, as in 2026-01-31T09:00:00Z",
    "datetime_from_date_parsing": "must be a date and time, as in 2026-01-31T09:00:00Z",
}


def refuse(
    error: ValidationError | Iterable[Mapping[str, Any]], *, items: str | None = None
) -> InvalidRequestError:
    """Return the refusal for *error*.

    Args:
        error: What pydantic raised, or its list of errors.
        items: Name of the list whose members are the items of a batch: errors within carry their index.
    """
    found: Sequence[Mapping[str, Any]]
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)
    else:
        found = list(error)
    found = _causes(found)
    errors = [_field_error(one, items) for one in found[:MOST_ERRORS]]
    return InvalidRequestError(errors, more=len(found) - len(errors))


def _causes(found: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Leave out what follows from another error: a list whose only member is bad is not also too short."""
    parents = {tuple(one["loc"][:depth]) for one in found for depth in range(len(one["loc"]))}
    return [one for one in found if tuple(one["loc"]) not in parents]


def _field_error(error: Mapping[str, Any], items: str | None) -> FieldError:
    location = [part for part in error["loc"] if not _is_tag(part)]
    index = None
    if items is not None and len(location) > 1 and location[0] == items and isinstance(location[1], int):
        index = location[1]
        location = location[2:]
    return FieldError(field=_path(location, error), message=_message(error), index=index)


def _is_tag(part: int | str) -> bool:
    """Tell whether *part* is a job kind, which pydantic puts in the path of a union chosen by kind."""
    return part in TENANT_CATALOG


def _path(location: Sequence[int | str], error: Mapping[str, Any]) -> str:
    if str(error["type"]).startswith("union_tag"):
        location = [*location, "kind"]
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".")[:LONGEST_PATH] or "body"


def _message(error: Mapping[str, Any]) -> str:
    kind = str(error["type"])
    context = error.get("ctx", {})
    if kind == "union_tag_invalid":
        return f"is not a kind of job you can submit; choose one of {context['expected_tags']}"
    if kind == "union_tag_not_found":
        return "is required"
    if kind == "json_invalid":
        return f"is not valid JSON: {context.get('error', 'cannot be read')}"
    if kind == "value_error":
        return str(context.get("error", "is not valid"))
    return _MESSAGES.get(kind, str(error["msg"])[:1].lower() + str(error["msg"])[1:])
