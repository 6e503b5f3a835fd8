"""Deliveries reach a real receiver over TLS and a real mail server, or give up where everyone can see it."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from sqlalchemy import select, update
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from uuid_utils.compat import uuid7

from config.settings import Settings, get_settings
from models.alert import (
    AlertDelivery,
    DeliveryAttempt,
    DeliveryEvent,
    EmailRecipient,
    ReceiverMixin,
    WebhookEndpoint,
)
from models.job import Job
from models.organization import Tenant
from models.session import Database, tenant_session
from models.social import SocialAccount
from tasks.alert_delivery import body_of, record_delivery
from tasks.alerting import webhook
from tasks.alerting.deliver import deliver
from tasks.catalog import DELIVER_ALERT, EVALUATE_ALERTS
from tasks.report_payloads import DeliverAlert, EvaluateAlerts
from tasks.signature import new_secret
from tasks.vault import Place, get_vault
from tests.integration.families.receiver import (
    Certificate,
    Receiver,
    certify,
    receiving,
    server_context,
)
from tests.support.service import Services
from tests.support.wait import wait_until
from worker.context import Claim, Completion, JobError, OutsideJob, PermanentJobError
from worker.publish import Publisher
from worker.submit import Submission, submit

Organize = Callable[..., Tenant]

HEBREW, COOK = "\u05de\u05d0\u05e4\u05d9\u05d9\u05d4", "\U0001f469\U0001f3fd\u200d\U0001f373"
HOSTILE = f"<script>alert(1)</script>\r\nBcc: everyone@example.org \u202e{HEBREW} {COOK}"
AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return certify(tmp_path)


@pytest.fixture
def environment(environment: dict[str, str], certificate: Certificate) -> dict[str, str]:
    return environment | {
        "GENIUS_WEBHOOKS_TO_PRIVATE_ADDRESSES": "true",
        "SSL_CERT_FILE": str(certificate.file),
    }


@pytest.fixture(autouse=True)
def caches(settings: Settings) -> Iterator[None]:
    for cached in (webhook._tls, get_vault):  # noqa: SLF001 - each test trusts its own authority
        cached.cache_clear()
    yield
    for cached in (webhook._tls, get_vault):  # noqa: SLF001 - see above
        cached.cache_clear()


@pytest.fixture
def receiver(certificate: Certificate) -> Iterator[Receiver]:
    with receiving(certificate) as receiver:
        yield receiver


class Desk:
    """Records deliveries of one tenant and runs attempts at them, as a worker does."""

    def __init__(self, database: Database, tenant: Tenant) -> None:
        self.database = database
        self.tenant = tenant
        self._own = tenant.organization_id

    def endpoint(self, url: str) -> tuple[WebhookEndpoint, str]:
        row, secret = WebhookEndpoint(organization_id=self._own, id=uuid7(), url=url), new_secret()
        row.secret_encrypted = get_vault().encrypt(
            secret, Place(self._own, "webhook_endpoints", "secret_encrypted", row.id)
        )
        return self._keep(row), secret

    def recipient(self, email: str = "Ann@example.org") -> EmailRecipient:
        return self._keep(EmailRecipient(organization_id=self._own, email=email, email_norm=email.lower()))

    def _keep(self, row: Any) -> Any:
        with tenant_session(self.database, self._own) as session:
            session.add(row)
        return row

    def record(self, to: ReceiverMixin, title: str = "posts_month has reached 80 %") -> UUID:
        evidence = [{"metric": "posts_month", "value": 240, "comparison": ">=", "threshold": 240}]
        body = body_of(DeliveryEvent.RAISED, AT, {"title": title, "evidence": evidence})
        with tenant_session(self.database, self._own) as session:
            return record_delivery(session, to, DeliveryEvent.RAISED, body, alert_id=None)

    def attempt(self, delivery_id: UUID, number: int = 1) -> Completion:
        claim = Claim(
            organization_id=self._own,
            job_id=uuid7(),
            kind=DELIVER_ALERT.name,
            attempt=number,
            max_attempts=DELIVER_ALERT.max_attempts,
            payload={},
            created_at=AT,
        )
        job = OutsideJob(claim, partial(tenant_session, self.database, self._own), lambda: None)
        return deliver(job, DeliverAlert(delivery_id=delivery_id))

    def find(self, delivery_id: UUID) -> AlertDelivery:
        with tenant_session(self.database, self._own) as session:
            return session.scalars(select(AlertDelivery).where(AlertDelivery.id == delivery_id)).one()

    def log(self, delivery_id: UUID) -> list[tuple[int, int | None]]:
        """Return number and status of each attempt."""
        query = select(DeliveryAttempt).where(DeliveryAttempt.delivery_id == delivery_id)
        with tenant_session(self.database, self._own) as session:
            return [(row.attempt, row.status) for row in session.scalars(query.order_by(DeliveryAttempt.id))]


@pytest.fixture
def desk(database: Database, organization: Organize) -> Desk:
    return Desk(database, organization())


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


class Letterbox:
    """Keeps what a mail server takes; answers otherwise when told to."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[list[str]] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        self.letters.append(letter)
        self.to.append(envelope.rcpt_tos)
        return "250 taken"


def sign_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"genius", b"secret"))


@pytest.fixture
def letterbox(
    settings: Settings, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Letterbox]:
    """A mail server that takes letters only from whom it knows, and only over TLS."""
    box = Letterbox()
    server = Controller(
        box,
        hostname="127.0.0.1",
        port=0,
        tls_context=server_context(certificate),
        require_starttls=True,
        authenticator=sign_in,
        auth_required=True,
    )
    server.port = free_port_of()
    server.start()
    try:
        for name, value in {
            "HOST": "localhost",
            "PORT": str(server.port),
            "USERNAME": "genius",
            "PASSWORD": "secret",
        }.items():
            monkeypatch.setenv(f"GENIUS_SMTP_{name}", value)
        monkeypatch.setenv("GENIUS_MAIL_FROM", "Marketing Genius <alerts@genius.example>")
        get_settings.cache_clear()
        yield box
    finally:
        server.stop()


def free_port_of() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_a_mail_server_takes_the_alert(desk: Desk, letterbox: Letterbox) -> None:
    delivery_id = desk.record(desk.recipient(), HOSTILE)
    assert desk.attempt(delivery_id).result == {"delivered": True, "status": 250}
    [letter] = letterbox.letters
    assert letterbox.to == [["Ann@example.org"]]
    assert letter["Message-ID"] == f"<{delivery_id}@genius.example>"
    assert (letter["To"], letter["Bcc"], letter["Auto-Submitted"]) == (
        "Ann@example.org",
        None,
        "auto-generated",
    )
    assert letter["Subject"] == f"Alert: <script>alert(1)</script> Bcc: everyone@example.org {HEBREW} {COOK}"
    plain, page = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "- posts_month: 240 (>= 240)" in plain.get_content()
    assert "&lt;script&gt;" in page.get_content()
    assert "<script" not in page.get_content()
    assert "\u202e" not in page.get_content() + plain.get_content()


def test_a_mail_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(
    desk: Desk, letterbox: Letterbox
) -> None:
    recipient = desk.recipient()
    busy, refused = desk.record(recipient), desk.record(recipient)
    letterbox.answers = ["451 later", "554 never"]
    with pytest.raises(JobError, match="451 later") as error:
        desk.attempt(busy)
    assert not isinstance(error.value, PermanentJobError)
    with pytest.raises(PermanentJobError, match="554 never"):
        desk.attempt(refused)
    desk.attempt(busy, 2)
    assert desk.log(busy) == [(1, 451), (2, 250)]
    assert [desk.find(one).state for one in (busy, refused)] == ["delivered", "failed"]


def test_without_a_mail_server_the_delivery_says_so(desk: Desk) -> None:
    delivery_id = desk.record(desk.recipient())
    with pytest.raises(PermanentJobError, match="GENIUS_SMTP_HOST"):
        desk.attempt(delivery_id)
    assert desk.find(delivery_id).state == "failed"


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
    wait_until(lambda: len(receiver.calls) == 2, timeout=90)
    [first, second] = receiver.calls
    body = Webhook(secret).verify(second.body, second.headers)
    assert (body["type"], body["data"]["condition"]) == ("alert.raised", "account")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]

    def ended() -> bool:
        with tenant_session(database, tenant.organization_id) as session:
            states = session.scalars(select(Job.state).where(Job.kind == DELIVER_ALERT.name)).all()
        return states == ["succeeded"]

    wait_until(ended, timeout=30)
    assert json.loads(second.body)["data"]["evidence"][0]["value"] == "needs_reauth"
