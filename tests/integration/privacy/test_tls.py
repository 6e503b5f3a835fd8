"""Postgres and Redis prove who they are, and clients show their certificate: by real handshakes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import kombu
import psycopg
import pytest
import redis
from pydantic import ValidationError

from config.celery import broker_ssl, broker_url
from config.settings import Settings
from models.organization import Organization, Tenant, load_tenant
from models.session import open_database, tenant_session
from ops.stack import settings_from
from tests.integration.privacy.tls import Authority, in_front_of
from worker.fairshare import transport
from worker.publish import BrokerAwayError, Publisher

URLS = ("GENIUS_DATABASE_URL", "GENIUS_OWNER_DATABASE_URL", "GENIUS_RELAY_DATABASE_URL")
TEMPLATE = "postgresql://app:x@db.example/genius"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "stranger")


def through(url: str, port: int, *, scheme: str, host: str = "127.0.0.1", **query: object) -> str:
    parts = urlsplit(url)
    place = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return urlunsplit((scheme, f"{place}{host}:{port}", parts.path, urlencode(query), ""))


@pytest.fixture
def secure_redis(authority: Authority, redis_url: str) -> Iterator[Callable[..., str]]:
    """Serve this test's Redis over TLS, to clients with a certificate; ``url(**query)``."""
    port = urlsplit(redis_url).port or 6379
    with in_front_of(port, authority.issue("redis"), clients=authority.root) as secure:
        yield lambda **query: through(redis_url, secure, scheme="rediss", **query)


def test_a_database_that_proves_who_it_is_serves_and_others_do_not(
    authority: Authority,
    stranger: Authority,
    environment: dict[str, str],
    organization: Callable[..., Tenant],
) -> None:
    acme = organization(name="Acme")
    plain = environment["GENIUS_DATABASE_URL"]
    port = urlsplit(plain).port or 5432

    def settings(port: int, root: Path) -> Settings:
        url = through(plain, port, scheme="postgresql", sslmode="verify-full", sslrootcert=root)
        return settings_from(environment | {"GENIUS_DATABASE_URL": url})

    with in_front_of(port, authority.issue("db"), postgres=True) as secure:
        database = open_database(settings(secure, authority.root), pool_size=1)
        assert load_tenant(database, acme.organization_id) == acme
        with tenant_session(database, acme.organization_id) as session:
            assert session.connection().connection.driver_connection.pgconn.ssl_in_use  # type: ignore[union-attr] # psycopg's
            assert session.get(Organization, acme.organization_id) is not None
        database.engine.dispose()
        unknown = open_database(settings(secure, stranger.root), pool_size=1)
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            load_tenant(unknown, acme.organization_id)
    with in_front_of(port, authority.issue("other", address="127.0.0.9"), postgres=True) as secure:
        elsewhere = open_database(settings(secure, authority.root), pool_size=1)
        with pytest.raises(psycopg.OperationalError, match="does not match host name"):
            load_tenant(elsewhere, acme.organization_id)


def test_redis_wants_a_certificate_and_shows_its_own(
    authority: Authority, stranger: Authority, secure_redis: Callable[..., str], settings: Settings
) -> None:
    pair = authority.issue("client")
    shown = {"ssl_certfile": pair.certificate, "ssl_keyfile": pair.key}

    def publisher(url: str) -> Publisher:
        return Publisher(settings_from({**_environment(settings), "GENIUS_REDIS_URL": url}))

    good = secure_redis(ssl_ca_certs=authority.root, **shown)
    assert ":" in publisher(good).generation()
    for url in (
        secure_redis(ssl_ca_certs=stranger.root, **shown),
        secure_redis(ssl_ca_certs=authority.root),
        good.partition("?")[0].replace("rediss://", "redis://"),
    ):
        with pytest.raises(BrokerAwayError):
            publisher(url).generation()


def test_celery_encrypts_as_the_url_says(
    authority: Authority, stranger: Authority, secure_redis: Callable[..., str], settings: Settings
) -> None:
    transport.register()
    pair = authority.issue("worker")

    def ping(root: Path) -> bool:
        url = secure_redis(ssl_ca_certs=root, ssl_certfile=pair.certificate, ssl_keyfile=pair.key)
        mine = settings_from({**_environment(settings), "GENIUS_REDIS_URL": url})
        with kombu.Connection(broker_url(mine), ssl=broker_ssl(mine) or False) as connection:
            channel: Any = connection.channel()
            return bool(channel.client.ping())

    assert ping(authority.root)
    with pytest.raises(
        (redis.ConnectionError, kombu.exceptions.OperationalError), match="certificate verify failed"
    ):
        ping(stranger.root)


def _environment(settings: Settings) -> dict[str, str]:
    secrets = ("jwt_secret", "seal_secret", "pointer_secret", "credential_secret")
    return {
        "GENIUS_ENVIRONMENT": "test",
        "GENIUS_DATABASE_URL": str(settings.database_url),
        **{f"GENIUS_{name.upper()}": getattr(settings, name).get_secret_value() for name in secrets},
    }


@pytest.mark.parametrize(
    ("database", "broker", "wrong"),
    [
        (f"{TEMPLATE}?sslmode=require", "rediss://r.example/0", "GENIUS_DATABASE_URL"),
        (TEMPLATE, "rediss://r.example/0", "GENIUS_DATABASE_URL"),
        (f"{TEMPLATE}?sslmode=verify-full", "redis://r.example/0", "GENIUS_REDIS_URL"),
        (f"{TEMPLATE}?sslmode=verify-full", "rediss://r.example/0?ssl_cert_reqs=none", "GENIUS_REDIS_URL"),
        (
            f"{TEMPLATE}?sslmode=verify-full",
            "rediss://r.example/0?ssl_check_hostname=False",
            "GENIUS_REDIS_URL",
        ),
        (f"{TEMPLATE}?sslmode=verify-full", "rediss://r.example/0?ssl_ca_certs=/ca.pem", None),
    ],
)
def test_where_tls_is_required_a_url_without_it_is_refused(
    settings: Settings, database: str, broker: str, wrong: str | None
) -> None:
    given = {**dict.fromkeys(URLS, database), "GENIUS_REDIS_URL": broker, "GENIUS_REQUIRE_TLS": "true"}
    environment = _environment(settings) | given
    if wrong is None:
        assert settings_from(environment).require_tls
        return
    with pytest.raises(ValidationError, match=wrong):
        settings_from(environment)
