"""Where traces go: nowhere, unless ``GENIUS_TRACES_URL`` names a collector."""

import os
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry.trace import Tracer

from config.settings import Settings, get_settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_TIMEOUT_S = 5

_service = "genius"


def trace_as(service: str) -> None:
    """Name this process's part of the system in its traces; ``OTEL_SERVICE_NAME`` has the last word."""
    global _service  # noqa: PLW0603 - a process has one name, and learns it when it starts
    _service = service


@cache
def get_tracer() -> Tracer | None:
    """Return what makes spans in this process, or None: it traces nothing."""
    provider = get_provider()
    return None if provider is None else provider.get_tracer("genius")


@cache
def get_provider() -> "TracerProvider | None":
    """Return what sends this process's spans to the collector."""
    settings = get_settings()
    return None if settings.traces_url is None else _provider(settings, settings.traces_url)


def _provider(settings: Settings, url: str) -> "TracerProvider":
    # Loaded only by who traces: it takes 0.2 s and 10 MB.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    named = {"service.name": os.environ.get("OTEL_SERVICE_NAME", _service)}
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.traces_sampled)), resource=Resource.create(named)
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, timeout=EXPORT_TIMEOUT_S)))
    return provider


def _forget() -> None:
    """Leave the parent's spans, and the thread that sends them, to the parent."""
    get_tracer.cache_clear()
    get_provider.cache_clear()


os.register_at_fork(after_in_child=_forget)
