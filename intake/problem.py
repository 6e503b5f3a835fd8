"""What the intake answers when it refuses: problem documents (RFC 9457) that also carry a plain `error`."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

TITLES: Mapping[int, str] = {
    400: "Bad request",
    401: "Authentication required",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Body too large",
    421: "Another region's organization",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    502: "The other side failed",
    503: "Temporarily unavailable",
}


class FieldError(BaseModel):
    """One thing to change in the request."""

    field: Annotated[str, Field(examples=["payload.post_id"])]
    """Path of the value, as in `payload.media[0].url`; for a header or query parameter, its name."""
    message: str
    index: int | None = None
    """In a batch, which item it is, from 0."""


class CellError(BaseModel):
    """One thing to change in a file."""

    line: int
    """Where the row begins, from 1; the header is line 1."""
    column: str | None
    """Header of the column; None is the whole line."""
    message: str


class Problem(BaseModel):
    """Why a request was refused."""

    type: Annotated[str, Field(examples=["urn:genius:problem:not-found"])]
    title: str
    status: int
    detail: str
    error: Annotated[
        str, Field(description="The same as `detail`, for clients that know no problem documents.")
    ]
    request_id: str
    instance: str
    errors: list[FieldError] | list[CellError] | None = None


class ProblemError(Exception):
    """The request is refused with *status*; *detail* is shown to the caller, so it holds nothing internal."""

    def __init__(  # noqa: PLR0913 - the parts of a problem document
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)
        self.extra = dict(extra or {})


class UnauthenticatedError(ProblemError):
    """No token, or one that does not hold."""

    def __init__(self, detail: str, *, code: str | None = "invalid_token") -> None:
        challenge = 'Bearer realm="genius"'
        if code is not None:
            challenge += f', error="{code}", error_description="{detail}"'
        super().__init__(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})


class ForbiddenError(ProblemError):
    """The caller is known and may not do this."""

    def __init__(self, slug: str, detail: str, **extra: Any) -> None:
        super().__init__(403, slug, detail, extra=extra)


class NotFoundError(ProblemError):
    """The thing is absent, or another tenant's: the answer is the same."""

    def __init__(self, thing: str) -> None:
        super().__init__(404, "not-found", f"There is no such {thing}.")


class ConflictError(ProblemError):
    """The request contradicts what is already recorded."""

    def __init__(self, slug: str, detail: str, **extra: Any) -> None:
        super().__init__(409, slug, detail, extra=extra)


class InvalidRequestError(ProblemError):
    """The request cannot be read or breaks a rule; *errors* name each field."""

    def __init__(self, errors: Sequence[FieldError], *, more: int = 0) -> None:
        first = errors[0]
        where = first.field if first.index is None else f"item {first.index}: {first.field}"
        detail = f"{where}: {first.message}"
        if len(errors) + more > 1:
            detail += f" (and {len(errors) + more - 1} more)"
        super().__init__(422, "invalid-request", detail, errors=errors)


class UnavailableError(ProblemError):
    """The database is away; nothing was recorded."""

    def __init__(self) -> None:
        detail = "The database is not reachable; nothing was recorded. Try again shortly."
        super().__init__(503, "unavailable", detail, headers={"Retry-After": "2"})


def document(problem: ProblemError, *, request_id: str, path: str) -> dict[str, Any]:
    """Return the problem document of *problem*."""
    body: dict[str, Any] = {
        "type": f"urn:genius:problem:{problem.slug}",
        "title": TITLES.get(problem.status, "Refused"),
        "status": problem.status,
        "detail": problem.detail,
        "error": problem.detail,
        "instance": path,
        "request_id": request_id,
        **problem.extra,
    }
    if problem.errors:
        body["errors"] = [error.model_dump(exclude_none=True) for error in problem.errors]
    return body


def response(problem: ProblemError, *, request_id: str, path: str) -> Response:
    """Render *problem*."""
    return Response(
        orjson.dumps(document(problem, request_id=request_id, path=path)),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )
