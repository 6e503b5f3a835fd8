"""Entity tags: a hash of the answer, so that the tag changes with it, whoever changed the row (RFC 9110)."""

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from intake.problem import FieldError, InvalidRequestError, ProblemError
from intake.views.base import View

LONGEST_CONDITION = 1_000
_TAG = re.compile(r'(?:W/)?"[^"]*"')
_TAGS = re.compile(rf"\s*{_TAG.pattern}\s*(?:,\s*{_TAG.pattern}\s*)*")

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=LONGEST_CONDITION,
        description="Act only if the `ETag` is still one of these; 412 otherwise.",
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        max_length=LONGEST_CONDITION,
        description="Answer 304 without a body if the `ETag` is still one of these.",
    ),
]


class ChangedMeanwhileError(ProblemError):
    """The thing is not any more what the caller has seen; carries its tag of now."""

    def __init__(self, tag: str) -> None:
        detail = "If-Match: it was changed since you read it; read it again, then decide."
        errors = [FieldError(field="If-Match", message=f"is not the tag of now, {tag}")]
        super().__init__(412, "changed-meanwhile", detail, headers={"ETag": tag}, errors=errors)


def tag_of(view: View) -> str:
    """Return the strong tag of what *view* answers."""
    return _tag(_content(view))


def require_match(condition: str | None, view: View) -> None:
    """Refuse to go on unless *condition*, an If-Match, names the tag of *view*; without one all is well.

    Raises:
        ChangedMeanwhileError: It names others. A weak tag matches nothing.
    """
    if condition is not None and not _holds(condition, tag_of(view), name="If-Match", weak=False):
        raise ChangedMeanwhileError(tag_of(view))


def answer(
    view: View,
    *,
    status: int = 200,
    if_none_match: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return *view* with its tag, or 304 when the caller has it already."""
    content = _content(view)
    tagged = {"ETag": _tag(content)} | dict(headers or {})
    if if_none_match is not None and _holds(if_none_match, tagged["ETag"], name="If-None-Match", weak=True):
        return Response(status_code=304, headers=tagged)
    return Response(content, status_code=status, media_type="application/json", headers=tagged)


def _content(view: View) -> bytes:
    return view.model_dump_json().encode()


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _holds(condition: str, tag: str, *, name: str, weak: bool) -> bool:
    if condition.strip() == "*":
        return True
    if _TAGS.fullmatch(condition) is None:
        raise InvalidRequestError([FieldError(field=name, message='must be tags, as in "1a2b", or *')])
    named = _TAG.findall(condition)
    return tag in ([one.removeprefix("W/") for one in named] if weak else named)
