"""One trace tells of one job, from the request to its finished row, through every process it passes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import redis
from uuid_utils.compat import uuid7

from config.settings import Settings
from models.session import Database, call
from tests.integration.observability.collector import Collector, Received
from tests.integration.observability.system import System, finished
from tests.support.kinds import LEAVE_CAMPAIGN, Leave
from tests.support.wait import wait_until
from worker.submit import Submission, record

SOON = timedelta(seconds=1)

ROLLUP = {"kind": "analytics.rollup", "payload": {}}
SCORE = {"kind": "leads.score", "payload": {"all": True}}
REQUEST = "POST /api/v1/jobs"
PARENTS = {
    REQUEST: None,
    "record": REQUEST,
    "create leads.score": REQUEST,
    "publish": "create leads.score",
    "wait": "create leads.score",
    "process leads.score": "create leads.score",
    "claim": "process leads.score",
    "run": "process leads.score",
    "complete": "process leads.score",
}
"""The whole trace of a job that somebody sends: each span's parent."""


def trace_of(collector: Collector, job_id: str, *wanted: str) -> dict[str, Received]:
    """Wait until the spans *wanted* of a job's trace have come, from all processes, and return it by name."""

    def look() -> dict[str, Received] | None:
        spans = {span.name: span for span in collector.of_job(job_id)}
        return spans if spans.keys() >= set(wanted) else None

    return wait_until(look, timeout=60, message=f"{wanted} of {job_id}")


def told(spans: Sequence[Received]) -> str:
    """Draw a trace, for whoever reads this test's output."""
    first = min(span.start for span in spans)
    return "\n".join(
        f"{(span.start - first) / 1e6:9.1f} ms {(span.end - span.start) / 1e6:8.1f} ms  "
        f"{span.service:14} {span.name}"
        for span in sorted(spans, key=lambda span: span.start)
    )


def test_one_trace_tells_of_a_job_from_its_request_to_its_row(system: System, collector: Collector) -> None:
    with system.client(system.tenant()) as client:
        job_id = client.post("/jobs", json=SCORE).json()["id"]
        assert finished(client, job_id)["state"] == "succeeded"
    spans = trace_of(collector, job_id, *PARENTS)
    print(told(list(spans.values())))  # noqa: T201 - shown with -s
    request, create, process = spans[REQUEST], spans["create leads.score"], spans["process leads.score"]
    parents = {name: spans[parent].id if parent else "" for name, parent in PARENTS.items()}
    assert {name: span.parent for name, span in spans.items()} == parents
    assert {span.trace for span in spans.values()} == {request.trace}
    assert (request.service, process.service) == ("genius-intake", "genius-worker")
    assert request.attributes["http.response.status_code"] == 202
    assert process.attributes["genius.ending"] == "succeeded"
    assert request.start <= create.start <= process.start <= spans["complete"].end <= process.end


def test_a_job_that_the_relay_publishes_stays_in_its_trace(system: System, collector: Collector) -> None:
    with system.client(system.tenant()) as client:
        first = client.post("/jobs", json=ROLLUP).json()["id"]
        second = client.post("/jobs", json={**ROLLUP, "after": first}).json()["id"]
        assert finished(client, second)["state"] == "succeeded"
    spans = trace_of(collector, second, "publish", "process analytics.rollup")
    assert spans["publish"].service == "genius-beat"
    assert spans["process analytics.rollup"].service == "genius-worker"


def test_a_job_stays_in_its_trace_though_redis_is_lost_and_its_attempt_fails(
    system: System, collector: Collector, settings: Settings, database: Database
) -> None:
    tenant = system.tenant()
    wanted = Submission(LEAVE_CAMPAIGN, Leave(name="MARK-redis", failures=1), run_at=datetime.now(UTC) + SOON)
    [job] = record(database, tenant, [wanted], requested_by=None, request_id=None)
    trace = uuid7().hex
    parents = [f"00-{trace}-{trace[:16]}-01"]
    call(database, tenant.organization_id, "trace_jobs", jobs=[job.id], traceparents=parents)
    with redis.Redis.from_url(str(settings.redis_url)) as client:
        client.flushdb()

    def spans() -> list[Received] | None:
        found = [span for span in list(collector.spans) if span.trace == trace]
        attempts = [span for span in found if span.name.startswith("process ")]
        publishers = {span.service for span in found if span.name == "publish"}
        return found if len(attempts) == 2 and publishers >= {"genius-beat", "genius-worker"} else None

    found = sorted(wait_until(spans, timeout=60), key=lambda span: span.start)
    endings = [span.attributes["genius.ending"] for span in found if span.name.startswith("process ")]
    assert endings == ["retried", "succeeded"]
    assert {span.parent for span in found if span.name in {"publish", "wait"}} == {trace[:16]}


def test_jobs_of_a_batch_have_a_trace_each_that_links_to_the_request(
    system: System, collector: Collector
) -> None:
    with system.client(system.tenant()) as client:
        jobs = client.post("/jobs/batch", json={"jobs": [ROLLUP, SCORE]}).json()["jobs"]
        for job in jobs:
            assert finished(client, job["id"])["state"] == "succeeded"
    names = ("create analytics.rollup", "create leads.score")
    one, other = (trace_of(collector, job["id"], name)[name] for job, name in zip(jobs, names, strict=True))
    assert one.trace != other.trace
    assert one.links == other.links
    [request] = one.links
    found = wait_until(lambda: {span.id: span for span in list(collector.spans)}.get(request))
    assert found.name == "POST /api/v1/jobs/batch"


def test_no_span_tells_what_a_tenant_sent(system: System, collector: Collector) -> None:
    with system.client(system.tenant()) as client:
        lead = {"external_id": "MARK-lead", "email": "mark-mail@example.org"}
        client.post("/leads/import", json={"leads": [lead]}, params={"note": "MARK-query"})
        job_id = client.post("/jobs", json=SCORE).json()["id"]
        finished(client, job_id)
    trace_of(collector, job_id, *PARENTS)
    assert "mark-" not in repr(collector.spans).lower()
