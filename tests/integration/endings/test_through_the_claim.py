"""What a worker's own steps do with jobs that wait for another and with those that have expired."""

from collections.abc import Callable
from datetime import UTC, datetime

from tests.integration.endings.steps import SOON, Endings, leave
from tests.support import outcome

Run = Callable[..., None]


def test_a_chain_in_one_batch_runs_link_by_link(endings: Endings, run: Run) -> None:
    jobs = endings.submit(leave("0"), leave("1", after=0), leave("2", after=1))
    for n, job in enumerate(jobs):
        assert endings.states(*jobs) == ["succeeded"] * n + ["queued"] + ["scheduled"] * (2 - n)
        run(job.id)
    assert outcome.campaigns_left(endings.database, endings.tenant) == {"0": 1, "1": 1, "2": 1}


def test_a_claim_refuses_what_has_expired(endings: Endings, run: Run) -> None:
    [job] = endings.submit(leave(expires_at=datetime.now(UTC) + SOON))
    endings.pass_expiry(job.id)
    run(job.id)

    assert endings.states(job) == ["cancelled"]
    assert outcome.campaigns_left(endings.database, endings.tenant) == {}
    assert outcome.leftovers(endings.database, endings.tenant) == {"leases": 0, "outbox": 0, "holds": 0}
