"""The body of `reports.produce`."""

from datetime import UTC, datetime

from models.report import ReportGrain
from tasks.catalog import PRODUCE_REPORT
from tasks.report_payloads import ProduceReport
from tasks.reporting.document import build_document
from tasks.reporting.period import last_ended, period_of
from tasks.reporting.reading import read_figures, read_subject
from tasks.reporting.store import Stored, latest, store
from worker.context import Completion, DatabaseJob, PermanentJobError
from worker.job import runs


@runs(PRODUCE_REPORT)
def produce(job: DatabaseJob, payload: ProduceReport) -> Completion:
    """Produce the report of a period that has ended; the snapshot commits with the job's completion.

    Without a day it is the last period that had ended when the job was made, however late the job runs.
    """
    session, claim = job.session, job.claim
    subject = read_subject(session, claim.organization_id)
    grain = ReportGrain(payload.grain)
    day = payload.day or last_ended(grain, claim.created_at, subject.time_zone)
    period = period_of(grain, day, subject.time_zone)
    if period.current.ends > datetime.now(UTC):
        raise PermanentJobError(f"the {grain.value} ends on {period.current.last} and is not over yet")
    known = latest(session, period)
    if known is not None and not payload.again:
        return _completion(known)
    document = build_document(subject, period, read_figures(session, subject, period))
    return _completion(store(session, subject, period, document, job_id=claim.job_id))


def _completion(stored: Stored) -> Completion:
    return Completion(
        {
            "report_id": str(stored.id),
            "revision": stored.revision,
            "sha256": stored.sha256.hex(),
            "fresh": stored.fresh,
        }
    )
