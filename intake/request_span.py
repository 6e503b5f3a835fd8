"""The span of a request: where the trace of a job begins."""

from contextlib import AbstractContextManager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_current_span
from starlette.datastructures import Headers
from starlette.types import Scope

from config.settings import get_settings
from config.tracing import get_tracer
from worker.tracing import context_of

SERVER_ERROR = 500
UNTRACED: AbstractContextManager[Span | None] = nullcontext()


def request_span(scope: Scope) -> AbstractContextManager[Span | None]:
    """Return the span of a request; nothing where this process traces nothing."""
    tracer = get_tracer()
    if tracer is None:
        return UNTRACED
    return tracer.start_as_current_span(
        scope["method"], _parent(scope), kind=SpanKind.SERVER, record_exception=False
    )


def _parent(scope: Scope) -> Context:
    """Return the caller's span, if callers may decide what is traced."""
    given = Headers(scope=scope).get("traceparent")
    return context_of(given) if given and get_settings().traces_from_callers else Context()


def describe(*, method: str, route: str, status: int, request_id: str) -> None:
    """Write on the request's span what it was, by the template of its route."""
    span = get_current_span()
    if not span.is_recording():
        return
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "genius.request": request_id,
        }
    )
    if status >= SERVER_ERROR:
        span.set_status(Status(StatusCode.ERROR))
