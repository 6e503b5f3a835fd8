"""Spans along the life of a job, for those that are traced: created, published, waited, processed.

A job's traceparent stands in its row; its messages carry a copy. So every attempt stays in the job's trace,
however often it is tried, whoever publishes it again and whatever becomes of Redis.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from uuid import UUID

from celery.signals import beat_init, celeryd_init, worker_process_shutdown
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from config.tracing import get_provider, get_tracer, trace_as
from models.session import Database, call
from worker.ending import Ending
from worker.origin import Origin

NOTHING: AbstractContextManager[None] = nullcontext()
_W3C = TraceContextTextMapPropagator()


def span(name: str, **attributes: Any) -> AbstractContextManager[object]:
    """Return a span within the current one; nothing where that one is not recorded."""
    tracer = get_tracer()
    if tracer is None or not get_current_span().is_recording():
        return NOTHING
    return _recorded(tracer, name, attributes=_named(attributes))


def process(kind: str, origin: Origin, organization_id: str, job_id: str) -> AbstractContextManager[object]:
    """Return the span of what a worker does with a message; nothing if its job is not traced."""
    tracer = get_tracer()
    if tracer is None or origin.traceparent is None:
        return NOTHING
    parent = context_of(origin.traceparent)
    attributes = _named({"kind": kind, "organization": organization_id, "job": job_id})
    if origin.ready_at is not None:
        start = int(min(origin.ready_at, time.time()) * 1e9)
        tracer.start_span("wait", parent, attributes=attributes, start_time=start).end()
    return _recorded(tracer, f"process {kind}", context=parent, kind=SpanKind.CONSUMER, attributes=attributes)


def originate(database: Database, organization_id: UUID, jobs: Sequence[tuple[UUID, str]]) -> dict[UUID, str]:
    """Begin what is told of jobs (id and kind) that were just recorded; answers with their traceparents.

    They are written into the rows before anybody publishes the jobs. One job goes on with the trace of its
    request. Jobs that were made together have a trace each, which links to the request's: a thousand in one
    trace would be of no use.
    """
    tracer = get_tracer()
    if tracer is None:
        return {}
    made = {}
    for job_id, kind in jobs:
        attributes = _named({"kind": kind, "organization": str(organization_id), "job": str(job_id)})
        span = _create(tracer, kind, attributes, together=len(jobs) > 1)
        if span.is_recording():
            made[job_id] = traceparent_of(span)
        span.end()
    if made:
        spelled = list(made.values())
        call(database, organization_id, "trace_jobs", jobs=list(made), traceparents=spelled)
    return made


def _create(tracer: Tracer, kind: str, attributes: dict[str, Any], *, together: bool) -> Span:
    request = get_current_span().get_span_context()
    return tracer.start_span(
        f"create {kind}",
        Context() if together else None,
        kind=SpanKind.PRODUCER,
        attributes=attributes,
        links=[Link(request)] if together and request.is_valid else None,
    )


def published(traceparents: Sequence[str], began_ns: int) -> None:
    """Tell in each job's own trace that it was given to the queue, by whomever."""
    tracer = get_tracer()
    if tracer is not None:
        for traceparent in traceparents:
            span = tracer.start_span(
                "publish", context_of(traceparent), kind=SpanKind.PRODUCER, start_time=began_ns
            )
            span.end()


def note_ending(ending: Ending) -> str:
    """Write on the current span how the attempt ended; answers with the word."""
    if get_tracer() is not None:
        get_current_span().set_attribute("genius.ending", ending.value)
    return ending.value


def context_of(traceparent: str) -> Context:
    """Return the context in which a span is a child of the one that *traceparent* names."""
    return _W3C.extract({"traceparent": traceparent}, Context())


def traceparent_of(span: Span) -> str:
    """Spell a span as W3C Trace Context does."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, set_span_in_context(span, Context()))
    return carrier["traceparent"]


@contextmanager
def _recorded(tracer: Tracer, name: str, **arguments: Any) -> Iterator[Span]:
    """Record a span; of an error only its type, since its words may be a tenant's."""
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **arguments
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def _named(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"genius.{name}": value for name, value in attributes.items()}


@celeryd_init.connect
def _trace_as_worker(**_: Any) -> None:
    trace_as("genius-worker")


@beat_init.connect
def _trace_as_beat(**_: Any) -> None:
    trace_as("genius-beat")


@worker_process_shutdown.connect
def _send_the_rest(**_: Any) -> None:
    """Send what a child of a pool has not sent: it ends without the interpreter's own farewells."""
    provider = get_provider()
    if provider is not None:
        provider.shutdown()
