"""What it costs a job to be watched: counted by a worker, and traced or not, in microseconds.

Run it as ``python benchmarks/watching.py``; it needs no server.
"""

import os
import sys
import time
import timeit
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

NOWHERE = {
    "GENIUS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "GENIUS_REDIS_URL": "redis://127.0.0.1:1/0",
    "GENIUS_ENVIRONMENT": "development",
    **{f"GENIUS_{name}_SECRET": "nobody-" * 6 for name in ("JWT", "SEAL", "POINTER", "CREDENTIAL")},
}
os.environ.update(NOWHERE)

from worker import tracing  # noqa: E402 - it reads the settings
from worker.ending import Ending  # noqa: E402
from worker.metrics import ended  # noqa: E402
from worker.origin import HEADER, Origin, coming_from  # noqa: E402

ROUNDS = 30
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Nowhere(SpanExporter):
    """Takes spans and does nothing with them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the interface
        """Say that they were sent."""
        return SpanExportResult.SUCCESS


def microseconds(act: Callable[[], object], *, times: int = 500) -> float:
    """Return how long *act* takes when nothing disturbs it."""
    return min(timeit.repeat(act, number=times, repeat=ROUNDS)) / times * 1e6


def headers(traceparent: str | None) -> dict[str, object]:
    """Return what matters here of a message."""
    return {HEADER: ["starter", time.time(), "request", traceparent]}


def attempt(message: dict[str, object]) -> None:
    """Pass every place at which an attempt may be traced."""
    origin = Origin.of(message)
    with coming_from({"job": origin}), tracing.process("leads.score", origin, "organization", "job"):
        with tracing.span("claim"):
            pass
        with tracing.span("run", attempt=1):
            pass
        with tracing.span("complete"):
            pass
        tracing.note_ending(Ending.SUCCEEDED)


def main() -> None:
    """Measure and print."""
    origin = Origin.of(headers(None))
    counted = microseconds(lambda: ended.count("leads.score", "scoring", origin, Ending.SUCCEEDED, 0.01))
    print(f"counted in the worker's main process   {counted:6.1f} us a job")
    print(
        f"traces off                             {microseconds(lambda: attempt(headers(None))):6.1f} us a job"
    )
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    tracer = provider.get_tracer("benchmark")
    tracing.get_tracer = lambda: tracer  # type: ignore[assignment] # in place of the settings
    print(
        f"traces on, this job not sampled        {microseconds(lambda: attempt(headers(None))):6.1f} us a job"
    )
    traced = microseconds(lambda: attempt(headers(TRACEPARENT)), times=50)
    print(f"traced (five spans)                    {traced:6.1f} us a job")


if __name__ == "__main__":
    main()
