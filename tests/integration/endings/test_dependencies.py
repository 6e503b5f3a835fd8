"""A job that names another waits for its success, whatever happens at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import select, text

from models.job import JobWait
from models.organization import Tenant
from models.session import Database, RelayDatabase, call, tenant_session
from tests.integration.endings.steps import SOON, Endings, leave
from tests.support import outcome
from worker.publish import Publisher
from worker.refusal import PredecessorError
from worker.relay import run_pass
from worker.submit import cancel, retry, submit

Run = Callable[..., None]


def waits(endings: Endings) -> int:
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        return len(session.scalars(select(JobWait.job_id)).all())


def finish(endings: Endings, *jobs: object) -> None:
    """Let jobs succeed and let go of what waits for them, in one transaction."""
    ids = [job.id for job in jobs]  # type: ignore[attr-defined]
    with tenant_session(endings.database, endings.tenant.organization_id) as session:
        session.execute(
            text("UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = ANY (:ids)"),
            {"ids": ids},
        )
        session.execute(
            text("SELECT app.release_dependents(:tenant, :ids, 'succeeded')"),
            {"tenant": endings.tenant.organization_id, "ids": ids},
        )


def test_a_job_waits_until_the_one_it_names_has_succeeded(
    endings: Endings, run: Run, messages: Callable[[], list[str]]
) -> None:
    [first] = endings.submit(leave("first"))
    [second] = endings.submit(leave("second", after=first.id))
    assert (second.state, second.waits, waits(endings)) == ("scheduled", True, 1)
    assert messages() == [f"{first.id}:0"]
    assert endings.outbox() == []

    finish(endings, first)
    assert endings.states(first, second) == ["succeeded", "queued"]
    assert (endings.outbox(), waits(endings)) == ([second.id], 0)
    run(second.id)
    assert endings.story(second.id) == ["scheduled", "queued", "running", "succeeded"]


def test_a_released_job_with_a_moment_of_its_own_waits_for_that_too(endings: Endings) -> None:
    later = datetime.now(UTC) + SOON
    first, second = endings.submit(leave("first"), leave("second", after=0, run_at=later))
    finish(endings, first)

    assert endings.states(second) == ["scheduled"]
    assert endings.outbox() == [second.id]


@pytest.mark.parametrize("how", ["dead", "cancelled"])
def test_what_waits_for_a_job_that_failed_is_cancelled_and_all_that_wait_for_it(
    endings: Endings, how: str
) -> None:
    first, *others = endings.submit(
        leave("0"), leave("1", after=0), leave("1b", after=0), leave("2", after=1), leave("3", after=3)
    )
    if how == "dead":
        endings.kill(first.id)
    else:
        cancel(endings.database, endings.tenant, first.id, publisher=endings.publisher)

    assert endings.states(first, *others) == [how] + ["cancelled"] * 4
    errors = [(endings.job(job.id).error or {})["message"] for job in others]
    assert errors == [f"the job it waited for is {how}"] * 2 + ["the job it waited for is cancelled"] * 2
    assert endings.story(others[-1].id) == ["scheduled", "cancelled"]
    assert outcome.leftovers(endings.database, endings.tenant) == {"leases": 0, "outbox": 0, "holds": 0}
    assert outcome.quota(endings.database, endings.tenant) == (0, 0)
    assert waits(endings) == 0


def test_a_chain_of_a_thousand_is_cancelled_with_its_first(endings: Endings) -> None:
    chain = [leave("0")] + [leave(str(n), after=n - 1) for n in range(1, 1_000)]
    first, *_ = endings.submit(*chain)
    cancel(endings.database, endings.tenant, first.id, publisher=endings.publisher)

    assert outcome.states(endings.database, endings.tenant) == {"cancelled": 1_000}


def test_a_job_cancelled_while_it_waits_is_not_released_later(endings: Endings) -> None:
    first, second, third = endings.submit(leave("0"), leave("1", after=0), leave("2", after=1))
    cancel(endings.database, endings.tenant, second.id, publisher=endings.publisher)
    finish(endings, first)

    assert endings.states(second, third) == ["cancelled", "cancelled"]


def test_waiting_for_a_job_that_has_succeeded_is_no_wait(endings: Endings) -> None:
    [first] = endings.submit(leave("first"))
    finish(endings, first)
    [second] = endings.submit(leave("second", after=first.id))

    assert (second.state, second.waits) == ("queued", False)


def test_waiting_for_what_cannot_succeed_is_refused_and_records_nothing(
    endings: Endings, organization: Callable[..., Tenant]
) -> None:
    [dead] = endings.submit(leave("dead"))
    endings.kill(dead.id)
    other = Endings(endings.database, organization(name="Other"), endings.publisher)
    [foreign] = other.submit(leave("foreign"))
    before = outcome.states(endings.database, endings.tenant)

    refusals = []
    for job_id in (dead.id, foreign.id, uuid4()):
        with pytest.raises(PredecessorError) as refused:
            endings.submit(leave("fine"), leave("second", after=job_id))
        refusals.append(refused.value.state)
    assert refusals == ["dead", None, None]
    assert outcome.states(endings.database, endings.tenant) == before


def test_the_same_key_again_is_the_same_waiting_job(endings: Endings) -> None:
    batch = [leave("0", idempotency_key="a"), leave("1", after=0, idempotency_key="b")]
    first, second = endings.submit(*batch)
    assert [job.id for job in endings.submit(*batch)] == [first.id, second.id]

    _, third = endings.submit(batch[0], leave("2", after=0))
    assert (third.waits, waits(endings)) == (True, 2)
    finish(endings, first)
    assert endings.states(second, third) == ["queued", "queued"]


def test_a_cancelled_dependent_that_is_retried_runs_without_waiting(endings: Endings, run: Run) -> None:
    first, second = endings.submit(leave("0"), leave("1", after=0))
    endings.kill(first.id)
    assert retry(endings.database, endings.tenant, second.id, publisher=endings.publisher) == "queued"
    run(second.id)

    assert endings.states(second) == ["succeeded"]


def test_a_queue_that_is_built_anew_leaves_waiting_jobs_out(
    endings: Endings, relay_database: RelayDatabase, publisher: Publisher
) -> None:
    endings.submit(leave("0"), leave("1", after=0))
    assert run_pass(relay_database, publisher).rebuilt == 1


def test_no_dependent_is_stranded_when_its_predecessor_ends_while_it_is_submitted(endings: Endings) -> None:
    """Each round races the end of a job against ten submissions that wait for it."""

    def wait_for(job_id: object, gate: threading.Barrier) -> object:
        gate.wait()
        return submit(
            endings.database, endings.tenant, [leave("late", after=job_id)], publisher=endings.publisher
        )

    with ThreadPoolExecutor(4) as pool:
        for _ in range(15):
            [first] = endings.submit(leave("first"))
            gate = threading.Barrier(4)
            late = [pool.submit(wait_for, first.id, gate) for _ in range(3)]
            gate.wait()
            finish(endings, first)
            submitted = [job for each in late for job in each.result()]  # type: ignore[attr-defined]
            assert endings.states(*submitted) == ["queued"] * 3
    assert waits(endings) == 0


def test_cancelling_in_the_middle_of_a_chain_while_its_head_dies_leaves_no_job_waiting(
    endings: Endings,
) -> None:
    def act(act_on: Callable[[], object], gate: threading.Barrier) -> None:
        gate.wait()
        act_on()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(30):
            first, second, *rest = endings.submit(
                leave("0"), leave("1", after=0), leave("2", after=1), leave("3", after=1), leave("4", after=3)
            )
            attempt = endings.begin(first.id)
            gate = threading.Barrier(2)
            deeds: list[Callable[[], object]] = [
                partial(endings.fail, first.id, attempt, retry_at=None),
                partial(cancel, endings.database, endings.tenant, second.id, publisher=endings.publisher),
            ]
            for each in [pool.submit(act, deed, gate) for deed in deeds]:
                each.result()
            assert endings.states(first, second, *rest) == ["dead"] + ["cancelled"] * 4
    assert outcome.quota(endings.database, endings.tenant) == (0, 0)


def test_another_tenants_function_call_releases_nothing(
    endings: Endings, database: Database, organization: Callable[..., Tenant]
) -> None:
    first, second = endings.submit(leave("0"), leave("1", after=0))
    stranger = organization(name="Other")
    with tenant_session(database, stranger.organization_id) as session:
        session.execute(
            text("SELECT app.release_dependents(:tenant, :ids, 'succeeded')"),
            {"tenant": endings.tenant.organization_id, "ids": [first.id]},
        )
    assert call(database, stranger.organization_id, "cancel_job", job=second.id) == []
    assert endings.states(second) == ["scheduled"]
