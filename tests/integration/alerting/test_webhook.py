"""Webhooks reach a real receiver over TLS, or give up where everyone can see it; none enters our network."""

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from config.settings import Settings, get_settings
from models.alert import (
    WebhookEndpoint,
)
from models.job import Job
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import SocialAccount
from tasks.alerting import webhook
from tasks.catalog import DELIVER_ALERT, EVALUATE_ALERTS
from tasks.report_payloads import EvaluateAlerts
from tasks.signature import new_secret
from tasks.vault import Place, get_vault
from tests.integration.alerting.desk import Desk
from tests.integration.alerting.receiver import (
    Receiver,
    certify,
)
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.context import JobError, PermanentJobError
from worker.publish import Publisher
from worker.submit import Submission, submit

Organize = Callable[..., Tenant]


def test_a_receiver_verifies_what_it_gets_and_refuses_it_altered_or_late(
    desk: Desk, receiver: Receiver
) -> None:
    endpoint, secret = desk.endpoint(receiver.url)
    delivery_id = desk.record(endpoint)
    assert desk.attempt(delivery_id).result == {"delivered": True, "status": 204}
    [call] = receiver.calls
    verified = Webhook(secret).verify(call.body, call.headers)
    assert (verified["type"], verified["data"]["title"]) == ("alert.raised", "posts_month has reached 80 %")
    assert call.headers["webhook-id"] == f"msg_{delivery_id.hex}"
    assert call.headers["content-type"] == "application/json"
    late = str(int(call.headers["webhook-timestamp"]) - 600)
    for body, headers in ((call.body + b" ", {}), (call.body, {"webhook-timestamp": late})):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, call.headers | headers)
    assert desk.find(delivery_id).state == "delivered"


def test_an_attempt_that_fails_is_repeated_under_the_same_id(desk: Desk, receiver: Receiver) -> None:
    endpoint, secret = desk.endpoint(receiver.url)
    delivery_id = desk.record(endpoint)
    receiver.answers = [500, 429, 302]
    for number, status in enumerate(list(receiver.answers), 1):
        with pytest.raises(JobError, match=str(status)) as error:
            desk.attempt(delivery_id, number)
        assert not isinstance(error.value, PermanentJobError)
        assert (desk.find(delivery_id).state, desk.find(delivery_id).ended_at) == ("pending", None)
    desk.attempt(delivery_id, 4)
    assert {call.headers["webhook-id"] for call in receiver.calls} == {f"msg_{delivery_id.hex}"}
    assert {call.body for call in receiver.calls} == {receiver.calls[0].body}
    assert all(Webhook(secret).verify(call.body, call.headers) for call in receiver.calls)
    assert desk.log(delivery_id) == [(1, 500), (2, 429), (3, 302), (4, 204)]
    desk.attempt(delivery_id, 5)
    assert len(receiver.calls) == 4, "what was delivered is not delivered again"


def test_after_the_last_attempt_it_gives_up_for_all_to_see(desk: Desk, receiver: Receiver) -> None:
    endpoint, _ = desk.endpoint(receiver.url)
    delivery_id = desk.record(endpoint)
    receiver.answers = [503]
    with pytest.raises(JobError, match="503"):
        desk.attempt(delivery_id, DELIVER_ALERT.max_attempts)
    found = desk.find(delivery_id)
    assert (found.state, found.error) == ("failed", "the endpoint answered 503")
    assert found.ended_at is not None


def test_an_endpoint_that_is_gone_is_paused(desk: Desk, receiver: Receiver) -> None:
    endpoint, _ = desk.endpoint(receiver.url)
    first, second = desk.record(endpoint), desk.record(endpoint)
    receiver.answers = [410]
    with pytest.raises(PermanentJobError, match="gone"):
        desk.attempt(first)
    assert desk.attempt(second).result["delivered"] is False
    assert [desk.find(one).state for one in (first, second)] == ["failed", "cancelled"]
    assert len(receiver.calls) == 1


def test_a_redirect_is_not_followed(desk: Desk, receiver: Receiver) -> None:
    endpoint, _ = desk.endpoint(receiver.url)
    receiver.answers, receiver.location = [307], f"{receiver.url}/elsewhere"
    with pytest.raises(JobError, match="307"):
        desk.attempt(desk.record(endpoint))
    assert [call.path for call in receiver.calls] == ["/hook"]


def test_a_former_secret_signs_too_until_its_time_is_over(desk: Desk, receiver: Receiver) -> None:
    endpoint, former = desk.endpoint(receiver.url)
    place = Place(endpoint.organization_id, "webhook_endpoints", "secret_encrypted", endpoint.id)
    fresh = new_secret()
    for until, accepted in ((timedelta(hours=1), True), (timedelta(hours=-1), False)):
        with tenant_session(desk.database, endpoint.organization_id) as session:
            session.execute(
                update(WebhookEndpoint).values(
                    previous_secret_encrypted=endpoint.secret_encrypted,
                    previous_until=datetime.now(UTC) + until,
                    secret_encrypted=get_vault().encrypt(fresh, place),
                )
            )
        desk.attempt(desk.record(endpoint))
        call = receiver.calls[-1]
        assert Webhook(fresh).verify(call.body, call.headers)
        if accepted:
            assert Webhook(former).verify(call.body, call.headers)
        else:
            with pytest.raises(WebhookVerificationError):
                Webhook(former).verify(call.body, call.headers)


@pytest.fixture
def strict(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that production has."""
    monkeypatch.setenv("GENIUS_WEBHOOKS_TO_PRIVATE_ADDRESSES", "false")
    get_settings.cache_clear()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "127.1", "2130706433"])
def test_no_call_enters_our_own_network(desk: Desk, receiver: Receiver, strict: None, host: str) -> None:
    endpoint, _ = desk.endpoint(receiver.url.replace("localhost", host))
    delivery_id = desk.record(endpoint)
    with pytest.raises(PermanentJobError, match="is not on the public internet"):
        desk.attempt(delivery_id)
    assert receiver.calls == []
    assert desk.find(delivery_id).state == "failed"


def test_a_name_that_changes_its_mind_gains_nothing(
    desk: Desk, receiver: Receiver, strict: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resolver is not ours: it says a public address when asked first, and then this machine's."""
    real, asked = socket.getaddrinfo, []

    def rebinding(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host != "rebind.example.org":
            return real(host, port, *more, **named)
        asked.append(host)
        answer = "192.0.2.7" if len(asked) > 1 else "127.0.0.1"
        return real(answer if len(asked) > 1 else "1.1.1.1", port, *more, **named)

    connected: list[str] = []

    def refuse(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", refuse)
    endpoint, _ = desk.endpoint("https://rebind.example.org/hook")
    with pytest.raises(JobError, match="no answer"):
        desk.attempt(desk.record(endpoint))
    assert (asked, connected) == (["rebind.example.org"], ["1.1.1.1"])


def test_plain_http_is_for_development(desk: Desk, strict: None) -> None:
    endpoint, _ = desk.endpoint("http://example.org/hook")
    with pytest.raises(PermanentJobError, match="https"):
        desk.attempt(desk.record(endpoint))


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(
    desk: Desk, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(certify(tmp_path / "other").file))
    webhook._tls.cache_clear()  # noqa: SLF001 - another authority
    endpoint, _ = desk.endpoint(receiver.url)
    with pytest.raises(JobError, match="CERTIFICATE_VERIFY_FAILED"):
        desk.attempt(desk.record(endpoint))
    assert receiver.calls == []


def test_a_worker_finds_the_alert_and_delivers_it_by_itself(
    database: Database, settings: Settings, desk: Desk, services: Services, receiver: Receiver
) -> None:
    tenant = desk.tenant
    _, secret = desk.endpoint(receiver.url)
    with tenant_session(database, tenant.organization_id) as session:
        session.add(
            SocialAccount(
                organization_id=tenant.organization_id,
                platform="bluesky",
                handle="acme",
                status="needs_reauth",
            )
        )
    receiver.answers = [500]
    fast = {"GENIUS_RELAY_INTERVAL": "0.3"}
    services.worker(queues=["system"], wait=False, environment=fast)
    services.beat(fast)
    submit(
        database,
        tenant,
        [Submission(EVALUATE_ALERTS, EvaluateAlerts())],
        publisher=Publisher(settings),
    )
    wait_until(lambda: len(receiver.calls) == 2, timeout=180)
    [first, second] = receiver.calls
    body = Webhook(secret).verify(second.body, second.headers)
    assert (body["type"], body["data"]["condition"]) == ("alert.raised", "account")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]

    def ended() -> bool:
        with tenant_session(database, tenant.organization_id) as session:
            states = session.scalars(select(Job.state).where(Job.kind == DELIVER_ALERT.name)).all()
        return states == ["succeeded"]

    wait_until(ended, timeout=60)
    assert json.loads(second.body)["data"]["evidence"][0]["value"] == "needs_reauth"
