"""Maps what can go wrong below the routes to problem documents."""

import math
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import exc
from starlette.exceptions import HTTPException
from starlette.responses import Response

from config.plans import PLANS, cheapest_with
from intake.problem import (
    TITLES,
    ConflictError,
    FieldError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    UnavailableError,
    response,
)
from intake.validation import refuse
from models.quota import LimitReachedError
from worker.refusal import (
    BacklogFullError,
    FeatureNotInPlanError,
    IdempotencyConflictError,
    LimitExceededError,
    OrganizationInactiveError,
    PredecessorError,
)
from worker.submit import JobNotFoundError, JobStateError

DATABASE_AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, psycopg.OperationalError)
"""Postgres away, out of connections or too slow."""

log = structlog.get_logger("intake.errors")


def _limit(error: LimitExceededError | LimitReachedError) -> ProblemError:
    """Refuse what would pass a limit; one that never resets needs something to go first."""
    return ForbiddenError(
        "limit-exceeded",
        f"Resource limit exceeded. Upgrade plan to increase {error.meter} limit",
        meter=error.meter,
        limit=error.limit,
        **({} if error.resets_at is None else {"resets_at": error.resets_at.isoformat()}),
    )


def _feature(error: FeatureNotInPlanError) -> ProblemError:
    if PLANS[error.plan].offers(error.feature):
        return ForbiddenError(
            "feature-switched-off",
            f"Your organization switched {error.feature} off. Switch it on again under /api/v1/features.",
            feature=error.feature,
        )
    offering = cheapest_with(error.feature)
    advice = f" Upgrade to {offering.name} to use it." if offering is not None else ""
    return ForbiddenError(
        "feature-not-in-plan",
        f"The plan {error.plan} does not include {error.feature}.{advice}",
        feature=error.feature,
        plan=error.plan,
    )


def _backlog(error: BacklogFullError) -> ProblemError:
    seconds = math.ceil(error.retry_after.total_seconds())
    room = max(error.limit - error.waiting, 0)
    return ProblemError(
        429,
        "backlog-full",
        f"Of your organization's jobs {error.waiting} wait in the lane {error.lane} and {error.limit} may; "
        f"there is room for {room} more now. Nothing was recorded. Try again in {seconds} s.",
        headers={
            "Retry-After": str(seconds),
            "RateLimit-Limit": str(error.limit),
            "RateLimit-Remaining": str(room),
            "RateLimit-Reset": str(seconds),
        },
        extra={"lane": error.lane, "waiting": error.waiting, "limit": error.limit},
    )


def _conflict(error: IdempotencyConflictError) -> ProblemError:
    return ConflictError(
        "idempotency-conflict",
        "This Idempotency-Key was used with another body. Send the same body, or a new key.",
        key=error.key,
    )


def _state(error: JobStateError) -> ProblemError:
    return ConflictError(
        "job-state", f"The job is {error.state}; this cannot be done to it now.", state=error.state
    )


def _predecessor(error: PredecessorError) -> ProblemError:
    if error.state is None:
        return InvalidRequestError([FieldError(field="after", message="names no job of yours")])
    return ConflictError(
        "job-state",
        f"The job {error.job_id} to wait for is {error.state}: retry it first.",
        state=error.state,
        job_id=str(error.job_id),
    )


def _http(error: HTTPException) -> ProblemError:
    """Routing's own refusals: no such path, or not with this method."""
    title = TITLES.get(error.status_code, "Refused")
    return ProblemError(
        error.status_code, title.lower().replace(" ", "-"), f"{title}.", headers=error.headers
    )


def _invalid(error: RequestValidationError) -> ProblemError:
    """Path, query and header parameters; bodies are read elsewhere. The place is dropped, the name stays."""
    return refuse([{**one, "loc": one["loc"][1:]} for one in error.errors()])


def _taken(constraint: str) -> ProblemError:
    """Name what must be unique, where the key is of one column; by its own name where it is normalised."""
    field = constraint.partition("_organization_id_")[2].removesuffix("_norm")
    message = "is taken: there is one like this already; choose another"
    errors = [FieldError(field=field, message=message)] if field else []
    return ProblemError(409, "exists", "There is one like this already.", errors=errors)


def _broken_rule(error: exc.IntegrityError) -> ProblemError:
    """Translate what only the database could see: a reference to nothing, a name that is taken."""
    if not isinstance(error.orig, psycopg.Error):
        raise error
    constraint = error.orig.diag.constraint_name or ""
    match error.orig.sqlstate:
        case "23503":
            field = constraint.partition("organization_id_")[2] or "body"
            return InvalidRequestError([FieldError(field=field, message="names nothing of yours")])
        case "23505":
            return _taken(constraint)
        case "23514":
            field = constraint.removeprefix(f"ck_{error.orig.diag.table_name}_")
            return InvalidRequestError([FieldError(field=field, message="is out of range")])
        case _:
            raise error


def _away(error: Exception) -> ProblemError:
    log.warning("database away", error=type(error).__name__)
    return UnavailableError()


_TRANSLATIONS: dict[type[Exception], Callable[[Any], ProblemError]] = {
    ProblemError: lambda error: error,
    HTTPException: _http,
    RequestValidationError: _invalid,
    FeatureNotInPlanError: _feature,
    **dict.fromkeys((LimitExceededError, LimitReachedError), _limit),
    BacklogFullError: _backlog,
    IdempotencyConflictError: _conflict,
    OrganizationInactiveError: lambda _: ForbiddenError(
        "organization-inactive", "Your organization is not active."
    ),
    JobNotFoundError: lambda _: NotFoundError("job"),
    JobStateError: _state,
    PredecessorError: _predecessor,
    exc.IntegrityError: _broken_rule,
    **dict.fromkeys(DATABASE_AWAY, _away),
}


REFUSALS = (ProblemError, FeatureNotInPlanError, LimitReachedError, exc.IntegrityError)
"""What refuses one thing of several, and leaves the others possible."""


def problem_of(error: Exception) -> ProblemError:
    """Return the problem that *error*, one of `REFUSALS`, is answered with."""
    translate = next(_TRANSLATIONS[kind] for kind in type(error).__mro__ if kind in _TRANSLATIONS)
    return translate(error)


def install(app: FastAPI) -> None:
    """Register the translation of every error that is not a defect."""
    for error, translate in _TRANSLATIONS.items():
        app.add_exception_handler(error, _handler(translate))


def _handler(translate: Callable[[Any], ProblemError]) -> Callable[[Request, Exception], Any]:
    async def handle(request: Request, error: Exception) -> Response:
        request.state.problem = problem = translate(error)
        return response(problem, request_id=request.state.request_id, path=request.url.path)

    return handle
