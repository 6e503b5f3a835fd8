"""What is traced, and what a trace does not tell."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from uuid_utils.compat import uuid7

from config.tracing import get_provider, get_tracer
from intake import request_span as requests
from intake.request_span import request_span
from worker import tracing
from worker.origin import Origin
from worker.tracing import NOTHING, originate, process, span

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JOBS = [(uuid7(), "leads.score")]
NO_DATABASE: Any = None
"""Whoever asks it fails."""


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., InMemorySpanExporter]]:
    """Trace in this process: ``spans(sampled=1.0)``."""

    def trace(*, sampled: float = 1.0) -> InMemorySpanExporter:
        kept = InMemorySpanExporter()
        provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(sampled)), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(kept))
        for module in (tracing, requests):
            monkeypatch.setattr(module, "get_tracer", lambda: provider.get_tracer("test"))
        return kept

    return trace


def test_nothing_is_traced_unless_somebody_wants_it() -> None:
    assert get_tracer() is None
    assert get_provider() is None
    assert span("run") is NOTHING
    assert process("leads.score", Origin(traceparent=PARENT), "organization", "job") is NOTHING
    assert originate(NO_DATABASE, uuid7(), JOBS) == {}


def test_a_job_that_is_not_sampled_costs_no_statement(spans: Callable[..., InMemorySpanExporter]) -> None:
    kept = spans(sampled=0.0)
    assert originate(NO_DATABASE, uuid7(), JOBS * 2) == {}
    assert kept.get_finished_spans() == ()


def test_of_an_error_only_its_type_is_told(spans: Callable[..., InMemorySpanExporter]) -> None:
    kept = spans()
    with (
        pytest.raises(ValueError, match="MARK"),
        process("leads.score", Origin(traceparent=PARENT), "organization", "job"),
    ):
        raise ValueError("MARK")
    [told] = kept.get_finished_spans()
    assert told.status.description == "ValueError"
    assert "MARK" not in told.to_json()
    assert f"{told.context.trace_id:032x}" == PARENT.split("-")[1]


@pytest.mark.parametrize("trusted", [False, True])
def test_a_caller_decides_what_is_traced_only_where_it_may(
    spans: Callable[..., InMemorySpanExporter], monkeypatch: pytest.MonkeyPatch, *, trusted: bool
) -> None:
    kept = spans()
    monkeypatch.setattr(requests, "get_settings", lambda: SimpleNamespace(traces_from_callers=trusted))
    scope = {"type": "http", "method": "POST", "headers": [(b"traceparent", PARENT.encode())]}
    with request_span(scope):
        pass
    [told] = kept.get_finished_spans()
    assert (f"{told.context.trace_id:032x}" == PARENT.split("-")[1]) is trusted
