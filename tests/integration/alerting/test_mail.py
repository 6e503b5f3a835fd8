"""Alerts reach a real mail server, over TLS and signed in, and say why when they do not."""

import asyncio
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from config.settings import Settings, get_settings
from tests.integration.alerting.desk import Desk
from tests.integration.alerting.receiver import Certificate, server_context
from worker.context import JobError, PermanentJobError

HEBREW, COOK = "\u05de\u05d0\u05e4\u05d9\u05d9\u05d4", "\U0001f469\U0001f3fd\u200d\U0001f373"
HOSTILE = f"<script>alert(1)</script>\r\nBcc: everyone@example.org \u202e{HEBREW} {COOK}"


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


class OnFreePort(Controller):
    """Listens on a port that the system gives it: one looked for before may be another's by then."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call] # theirs has no types


@pytest.fixture
def letterbox(
    settings: Settings, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Letterbox]:
    """A mail server that takes letters only from whom it knows, and only over TLS."""
    box = Letterbox()
    server = OnFreePort(
        box,
        hostname="127.0.0.1",
        port=0,
        tls_context=server_context(certificate),
        require_starttls=True,
        authenticator=sign_in,
        auth_required=True,
    )
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
