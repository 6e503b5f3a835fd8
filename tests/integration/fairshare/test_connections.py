"""Every way to reach the broker: TLS, Sentinel, a database number, a key prefix."""

import datetime as dt
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kombu.exceptions import OperationalError

from ops.embedded_redis import EmbeddedRedis
from tests.integration.fairshare.plain_app import PlainApp, fair
from tests.integration.fairshare.sentinels import MASTER, Sentinels
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

AT_ONCE = {"max_retries": 1, "interval_start": 0}
"""A connection that fails is not tried again."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for ``localhost`` that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_url(server: EmbeddedRedis, client: redis.Redis, certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Proxy(server.port, tls=context) as proxy:
        yield (
            server.url(0)
            .replace("redis://", "fairs://")
            .replace(f"127.0.0.1:{server.port}", f"localhost:{proxy.port}")
        )


def test_a_worker_and_its_publisher_speak_tls(
    server: EmbeddedRedis, tls_url: str, certificate: Path, tmp_path: Path
) -> None:
    tls = {"ssl_cert_reqs": "required", "ssl_ca_certs": str(certificate)}
    with PlainApp(server, tmp_path, url=tls_url, tls=tls) as app:
        app.worker("prefork", 1)
        assert app.send("stubborn").get(timeout=30) == 2
        assert list(app.app.control.inspect(timeout=30, limit=1).ping()) == ["w0@test"]
        wait_until(lambda: app.left() == 0)


def test_the_options_of_tls_may_stand_in_the_url(
    server: EmbeddedRedis, tls_url: str, certificate: Path, tmp_path: Path
) -> None:
    with PlainApp(server, tmp_path, url=f"{tls_url}?ssl_ca_certs={certificate}") as app:
        app.work("a/1")
        assert app.left() == 1


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: EmbeddedRedis, tls_url: str, tmp_path: Path
) -> None:
    with PlainApp(server, tmp_path, url=tls_url, options=AT_ONCE) as app:
        with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            app.work("a/1", retry=False)
        assert app.left() == 0


def test_a_wrong_password_is_refused(server: EmbeddedRedis, tmp_path: Path) -> None:
    with (
        PlainApp(
            server, tmp_path, url=fair(server.url(0)).replace(":fair@", ":wrong@"), options=AT_ONCE
        ) as app,
        pytest.raises(OperationalError, match="password"),
    ):
        app.work("a/1", retry=False)


def test_a_database_number_and_a_prefix_keep_apps_apart(
    server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    options = {"global_keyprefix": "shop:"}
    with PlainApp(server, tmp_path, url=fair(server.url(5)), options=options) as app:
        app.broker = redis.Redis.from_url(server.url(5))
        app.worker("threads")
        app.work("a/later", countdown=3600)
        app.work("a/now")
        wait_until(lambda: app.done() == ["a/now"])
        assert list(app.app.control.inspect(timeout=30, limit=1).ping()) == ["w0@test"]
        wait_until(lambda: app.in_flight() == 0)
        assert app.left() == 1
        assert {key.split(b":")[0] for key in app.broker.scan_iter()} == {b"shop"}
        assert [key for key in client.scan_iter() if b"fair" in key] == []


def published(app: PlainApp) -> bool:
    """Tell whether the new master was reached: the Sentinels learn of it one after another."""
    try:
        app.take_effect("a/after")
    except OperationalError:
        return False
    return True


def test_a_worker_goes_on_with_the_new_master_after_a_failover(tmp_path: Path) -> None:
    with (
        Sentinels(tmp_path) as sentinels,
        PlainApp(sentinels.replica, tmp_path, url=sentinels.url, options={"master_name": MASTER}) as app,
    ):
        app.broker = redis.Redis.from_url(sentinels.replica.url(3))
        app.worker("threads", 2, PLAIN_RESULTS="cache+memory://")
        for i in range(30):
            app.take_effect(f"a/{i}", 0.05)
        wait_until(lambda: len(app.done()) >= 5)
        sentinels.processes[0].kill()
        sentinels.master.kill()
        wait_until(lambda: sentinels.master_port() == sentinels.replica.port, 60)
        wait_until(lambda: published(app), 60, message="the new master is written to")
        wait_until(lambda: len(app.done()) == 31, 60)
        wait_until(lambda: app.left() == 0, 60)
        assert len(set(app.done())) == 31
        assert app.lane().audit() == 0
