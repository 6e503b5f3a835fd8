"""Alerts are raised once a period and resolved; whoever wants to hear of them does, by rows of their own."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from uuid_utils.compat import uuid7

from models.alert import Alert, AlertDelivery, EmailRecipient, WebhookEndpoint
from models.job import DeadLetter, Job
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import SocialAccount, SocialPost
from models.usage import QuotaPeriod, UsageAlert
from tasks.alerting.evaluate import evaluate
from tasks.report_payloads import EvaluateAlerts
from worker.context import Completion

Run = Callable[..., Completion]
Organize = Callable[..., Tenant]

NOW = datetime.now(UTC)


class Site:
    """One tenant with two receivers, and what may go wrong for it."""

    def __init__(self, database: Database, tenant: Tenant, run: Run) -> None:
        self.database = database
        self.tenant = tenant
        self._run = run

    def add(self, *rows: Any) -> None:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            for row in rows:
                row.organization_id = self.tenant.organization_id
            session.add_all(rows)

    def do(self, statement: Any, **values: Any) -> None:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            session.execute(statement, values)

    def all(self, table: Any) -> list[Any]:
        with tenant_session(self.database, self.tenant.organization_id) as session:
            return list(session.scalars(select(table).order_by(table.organization_id, table.id)))

    def evaluate(self) -> dict[str, int]:
        return dict(self._run(self.tenant, evaluate, EvaluateAlerts()).result)

    def alerts(self) -> list[tuple[str, bool]]:
        """Return subject, and whether it holds."""
        return [(alert.subject, alert.resolved_at is None) for alert in self.all(Alert)]

    def told(self) -> list[tuple[str, str]]:
        """Return event and title of each delivery."""
        bodies = [json.loads(delivery.body) for delivery in self.all(AlertDelivery)]
        return [(body["type"], body["data"]["title"]) for body in bodies]


@pytest.fixture
def site(database: Database, organization: Organize, run: Run) -> Site:
    site = Site(database, organization(plan="starter"), run)
    site.add(
        WebhookEndpoint(url="https://example.org/hook", secret_encrypted=b"x"),
        EmailRecipient(email="Ann@example.org", email_norm="ann@example.org"),
    )
    return site


def period(
    used: int, *, meter: str = "posts_month", start: datetime = NOW - timedelta(days=3)
) -> QuotaPeriod:
    return QuotaPeriod(
        meter=meter, period_start=start, period_end=start + timedelta(days=30), amount=300, used=used
    )


def account(handle: str = "acme", **more: Any) -> SocialAccount:
    return SocialAccount(id=uuid7(), platform="bluesky", handle=handle, **more)


def post(of: SocialAccount, moment: datetime, state: str = "published") -> SocialPost:
    out = moment if state == "published" else None
    return SocialPost(
        account_id=of.id, platform="bluesky", body="x", state=state, published_at=out, updated_at=moment
    )


def use(site: Site, used: int) -> None:
    site.do(update(QuotaPeriod).values(used=used))


def test_where_nothing_is_wrong_nobody_is_told(site: Site) -> None:
    site.add(period(239), account())
    assert site.evaluate() == {
        "holding": 0,
        "raised": 0,
        "resolved": 0,
        "came_back": 0,
        "deliveries": 0,
        "given_up": 0,
    }


def test_a_quota_is_told_once_at_each_mark_and_resolved_when_it_is_below(site: Site) -> None:
    site.add(period(240))
    assert [site.evaluate()["raised"] for _ in range(3)] == [1, 0, 0]
    use(site, 300)
    assert [site.evaluate()["raised"] for _ in range(2)] == [1, 0]
    assert site.alerts() == [("posts_month/80", True), ("posts_month/100", True)]
    site.do(text("UPDATE quota_periods SET amount = 1000"))
    assert site.evaluate()["resolved"] == 2
    assert site.alerts() == [("posts_month/80", False), ("posts_month/100", False)]
    assert len(site.told()) == 2 * 4, "each of two receivers was told of two alerts and their ends"


def test_a_meter_that_counts_rows_is_told_by_accountings_alert(site: Site) -> None:
    for threshold, used in ((80, 4), (100, 5)):
        site.add(
            UsageAlert(
                meter="campaigns",
                period_start=NOW - timedelta(days=3),
                period_end=NOW + timedelta(days=20),
                threshold=threshold,
                amount=5,
                used=used,
            )
        )
    assert site.evaluate()["raised"] == 2
    assert site.alerts() == [("campaigns/80", True), ("campaigns/100", True)]
    assert site.evaluate()["raised"] == 0


def test_a_condition_that_comes_back_within_its_period_is_shown_and_not_told_again(site: Site) -> None:
    site.add(period(240))
    for used in (240, 0, 240):
        use(site, used)
        done = site.evaluate()
    assert (done["raised"], done["came_back"], done["deliveries"]) == (0, 1, 0)
    [alert] = site.all(Alert)
    assert (alert.resolved_at, alert.recurrences) == (None, 1)
    assert [event for event, _ in site.told()] == ["alert.raised"] * 2 + ["alert.resolved"] * 2


def test_the_next_period_is_told_anew(site: Site) -> None:
    ended = NOW - timedelta(days=33)
    site.add(period(290))
    site.evaluate()
    site.do(text("UPDATE alerts SET period_start = :ended"), ended=ended)
    done = site.evaluate()
    assert (done["resolved"], done["raised"]) == (1, 1)
    assert site.alerts() == [("posts_month/80", False), ("posts_month/80", True)]


def test_an_account_that_cannot_post_is_told_until_it_is_connected_again(site: Site) -> None:
    failing = account(handle="<b>مقهى</b>", status="needs_reauth", status_detail="token revoked")
    site.add(failing, account())
    assert site.evaluate()["raised"] == 1
    [alert] = site.all(Alert)
    assert (alert.condition, alert.subject, alert.severity) == ("account", str(failing.id), "critical")
    assert alert.evidence == [
        {
            "metric": "account.status",
            "value": "needs_reauth",
            "comparison": "!=",
            "threshold": "active",
            "detail": "token revoked",
        }
    ]
    site.do(update(SocialAccount).values(status="active"))
    assert site.evaluate()["resolved"] == 1


def test_three_refusals_in_a_row_make_a_failing_account(site: Site) -> None:
    one = account()
    site.add(one)
    site.add(*(post(one, NOW - timedelta(hours=hour), "failed_permanent") for hour in (5, 3, 2)))
    site.add(post(one, NOW - timedelta(hours=4)))
    assert site.evaluate()["holding"] == 0, "one of the three was before the last that got through"
    site.add(post(one, NOW - timedelta(hours=1), "failed_permanent"))
    assert site.evaluate()["raised"] == 1
    site.add(post(one, NOW))
    assert site.evaluate()["resolved"] == 1


def test_dead_letters_are_told_by_kind_and_the_systems_own_are_not(site: Site) -> None:
    letters = [
        DeadLetter(job_id=uuid7(), kind=kind, attempts=1, fingerprint="f")
        for kind in ("leads.score", "leads.score", "system.deliver_alert")
    ]
    site.add(*letters)
    assert site.evaluate()["raised"] == 1
    [alert] = site.all(Alert)
    assert (alert.subject, alert.title) == ("leads.score", "2 jobs of leads.score failed for good")
    site.do(text("DELETE FROM dead_letters"))
    assert site.evaluate()["resolved"] == 1


def test_a_cadence_that_falls_is_told(site: Site) -> None:
    busy, usual = account("busy"), account("usual")
    site.add(busy, usual)
    weeks = [NOW - timedelta(weeks=week, hours=1) for week in range(5)]
    site.add(*(post(usual, week) for week in weeks for _ in range(4)))
    site.add(*(post(busy, week) for week in weeks[1:] for _ in range(4)), post(busy, weeks[0]))
    assert site.evaluate()["raised"] == 1
    [alert] = site.all(Alert)
    assert (alert.condition, alert.subject) == ("cadence", str(busy.id))
    assert {"value": 1, "threshold": 2.0, "usual": 4}.items() <= alert.evidence[0].items()


def test_a_receiver_hears_of_what_it_asked_for_and_a_paused_or_removed_one_of_nothing(site: Site) -> None:
    site.do(update(EmailRecipient).values(conditions=["account"]))
    site.add(
        WebhookEndpoint(url="https://example.org/paused", secret_encrypted=b"x", paused=True),
        WebhookEndpoint(url="https://example.org/gone", secret_encrypted=b"x", deleted_at=NOW),
    )
    site.add(period(240))
    assert site.evaluate()["deliveries"] == 1
    site.add(account(status="paused"))
    assert site.evaluate()["deliveries"] == 2
    told = [bool(delivery.endpoint_id) for delivery in site.all(AlertDelivery)]
    assert told == [True, True, False]


def test_many_evaluations_at_once_tell_once(site: Site) -> None:
    site.add(period(300), account(status="paused"))
    with ThreadPoolExecutor(5) as threads:
        done = [each.result() for each in [threads.submit(site.evaluate) for _ in range(15)]]
    assert sum(one["raised"] for one in done) == 3
    assert len(site.alerts()) == 3
    assert len(site.told()) == 3 * 2


def test_an_alert_its_delivery_and_its_job_commit_together_and_cost_no_quota(
    site: Site,
) -> None:
    site.add(period(300), period(10**6, meter="jobs_month"))
    assert site.evaluate()["raised"] == 4
    jobs = site.all(Job)
    assert {job.id for job in jobs} == {delivery.job_id for delivery in site.all(AlertDelivery)}
    assert {job.kind for job in jobs} == {"system.deliver_alert"}
    with tenant_session(site.database, site.tenant.organization_id) as session:
        assert set(session.scalars(select(QuotaPeriod.used))) == {300, 10**6}


def test_a_delivery_whose_job_died_unsaid_is_shown_as_failed(site: Site) -> None:
    site.add(period(240))
    site.evaluate()
    first, second = site.all(AlertDelivery)
    site.do(text("UPDATE jobs SET state = 'dead' WHERE id = :id"), id=first.job_id)
    assert site.evaluate()["given_up"] == 1
    states = {delivery.id: (delivery.state, delivery.error) for delivery in site.all(AlertDelivery)}
    assert states == {
        first.id: ("failed", "its job ended before it was delivered"),
        second.id: ("pending", None),
    }


def test_another_tenants_conditions_are_not_seen(site: Site, organization: Organize, run: Run) -> None:
    other = Site(site.database, organization(), run)
    other.add(period(300), account(status="paused"))
    assert site.evaluate()["holding"] == 0
    assert other.evaluate()["raised"] == 3
    assert (other.told(), site.alerts()) == ([], [])
