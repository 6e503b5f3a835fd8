"""What an operator may set: one value per line, read from the environment (prefix ``GENIUS_``)."""

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    PostgresDsn,
    RedisDsn,
    SecretStr,
    UrlConstraints,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
"""The checkout (or the installed tree)."""

SECRETS_DIRECTORY = Path("/run/secrets")
"""Where containers find secrets: files named after the variables they stand for."""

STACK_ENVIRONMENT = ROOT / "var" / "stack.env"
"""Written by ``genius up``, so that stock commands in another shell find the running stack."""


def _seconds(value: object) -> object:
    """Read a plain number as seconds; pydantic reads ISO 8601 durations by itself."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _parsed(value: object) -> object:
    """Read JSON where no environment was read that would have."""
    return orjson.loads(value) if isinstance(value, str) else value


Span = Annotated[timedelta, BeforeValidator(_seconds)]
BrokerDsn = Annotated[RedisDsn, UrlConstraints(allowed_schemes=["redis", "rediss"])]
LongSecret = Annotated[SecretStr, Field(min_length=32)]
SigningAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""With a private key: whoever can verify a token cannot make one."""

DEVELOPMENT_MARK = "development-"
"""Secrets that a development stack makes for itself begin so; production refuses them."""
FEWEST_CHARACTERS = 9
"""Different ones, in a secret that somebody drew and nobody thought up."""


class SocialClientKeys(BaseModel):
    """What a platform knows us by."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    client_id: str
    client_secret: SecretStr


FlowerRole = Literal["operator", "reader"]


class FlowerUser(BaseModel):
    """Somebody who may see Flower; with OAuth the name is an e-mail address, and there is no password."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    password: SecretStr | None = None
    role: FlowerRole = "reader"
    """A reader sees everything and changes nothing."""


class Settings(BaseSettings):
    """Process configuration. A value without a default has no safe default."""

    model_config = SettingsConfigDict(
        env_prefix="GENIUS_",
        env_file=(STACK_ENVIRONMENT, ROOT / ".env"),
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: PostgresDsn = Field(repr=False)
    """Application role: must not own the tables and must not have BYPASSRLS."""

    owner_database_url: PostgresDsn | None = Field(default=None, repr=False)
    """Role that owns the tables. Only migrations need it; leave it out of intake and workers."""

    relay_database_url: PostgresDsn | None = Field(default=None, repr=False)
    """Role ``genius_relay``. Without it the relay takes the owner's URL and drops to that role."""

    redis_url: BrokerDsn = Field(repr=False)
    """Redis that carries the queues. Losing it loses no job."""

    jwt_secret: LongSecret
    """Verifies (and, for ``genius token``, signs) HS256 tokens, where those are taken."""

    jwks_url: HttpUrl | None = None
    """Where the issuer of tokens publishes its keys (JWKS); HS256 is not taken any more then."""

    jwks_file: Path | None = None
    """The same from a file, which may change at any time."""

    jwks_refresh: Span = Field(default=timedelta(minutes=5), ge=timedelta(seconds=1))
    """The issuer's keys are asked for again after so long; one that it withdrew is good until then."""

    jwks_retry: Span = Field(default=timedelta(seconds=10), ge=timedelta(seconds=1))
    """An unknown key, or an issuer that is away, makes us ask again this often at most."""

    jwks_stale_limit: Span = Field(default=timedelta(hours=24), ge=timedelta(minutes=1))
    """While the issuer is away its keys stay good so long; then no token is."""

    jwt_algorithms: Annotated[tuple[SigningAlgorithm, ...], Field(min_length=1)] = ("RS256", "EdDSA")
    """What the issuer's keys may sign with, as a JSON list."""

    jwt_audience: str | None = None
    """Tokens must be for this audience (`aud`)."""

    jwt_issuer: str | None = None
    """Tokens must be of this issuer (`iss`)."""

    jwt_leeway: Span = Field(default=timedelta(seconds=5), ge=timedelta(0), le=timedelta(minutes=5))
    """How far the clocks of issuer and intake may differ."""

    jwt_secret_beside_jwks: bool = False
    """Take HS256 tokens too although the issuer's keys are known."""

    seal_secret: LongSecret
    """Signs the tenant binding of a database session; the migration stores it where only the owner reads."""

    pointer_secret: LongSecret
    """Signs the pointers that travel through the broker."""

    credential_secret: LongSecret
    """Master key of the tokens of social accounts at rest."""

    retired_credential_secrets: tuple[LongSecret, ...] = ()
    """Former master keys, a JSON list: what they encrypted is still read, and encrypted anew when used."""

    environment: Literal["development", "test", "production"] = "production"

    lease_time: Span = Field(default=timedelta(seconds=60), ge=timedelta(seconds=1))
    """A job not renewed for this long is given to another worker."""

    shutdown_deadline: Span = Field(default=timedelta(seconds=25), gt=timedelta(0))
    """A worker told to stop ends within this time; a job that still runs then runs again elsewhere."""

    relay_interval: Span = Field(default=timedelta(seconds=2), gt=timedelta(0))
    """Pause between two passes of the relay."""

    database_pool_size: int = Field(default=20, ge=1)
    """Connections of a process at most, opened when they are needed; threads want two more than slots."""

    database_pooled: bool = False
    """The URLs of application and relay lead to a pooler in transaction mode, such as PgBouncer."""

    statement_timeout: Span = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """A statement that takes longer is cancelled by Postgres."""

    broker_timeout: Span = Field(default=timedelta(seconds=1), gt=timedelta(0))
    """A submit waits this long for Redis at most; the relay publishes what could not be."""

    platform_schedules: bool = True
    """Beat gives every active organization the recurring work of the platform (rollups, quota, retention)."""

    history_kept: Span = Field(default=timedelta(days=400), ge=timedelta(days=31))
    """Finished jobs and the events of jobs go this long after the month in which the job was made."""

    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """A larger request body is refused with 413."""

    public_calls_hour: int = Field(default=3_600, ge=1)
    """Calls an hour that one address may make without a token: whose login page is this?"""

    max_import_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """A larger file of leads is refused with 413."""

    social_clients: Mapping[str, SocialClientKeys] = Field(default_factory=dict)
    """What platforms know us by, as JSON: {"x": {"client_id": ..., "client_secret": ...}}."""

    social_redirect_urls: tuple[str, ...] = ()
    """Where people may come back to from a platform, a JSON list; the first where a request names none."""

    trusted_servers: tuple[str, ...] = ()
    """Social servers that may be called although they are not on the public internet, as a JSON list."""

    metrics_after: Span = Field(default=timedelta(hours=1), ge=timedelta(0))
    """Metrics of a post are fetched so long after it is out, then 24 and 168 times as long; 0 is never."""

    media_directory: Path = ROOT / "var" / "media"
    """Where uploaded media lie; intake and workers need the same folder."""

    max_media_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """A larger picture or film is refused with 413."""

    export_directory: Path | None = None
    """Where archives of exports lie, for intake and workers; `exports` in the media folder without."""

    export_kept: Span = Field(default=timedelta(days=7), gt=timedelta(0))
    """The archive of an export is removed so long after it was made."""

    require_tls: bool = False
    """Refuse a Postgres without ``sslmode=verify-full`` and a Redis without ``rediss`` in their URLs."""

    region: str = Field(default="default", pattern=r"^[a-z0-9-]{1,40}$")
    """Whose organizations this process serves; it refuses those of another region."""

    region_urls: Annotated[Mapping[str, str], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """Region to the address of its intake, as JSON: where organizations of another region are sent."""

    public_url: str | None = None
    """Address of the intake on the internet, from which Instagram, Threads and Facebook fetch media."""

    linkedin_version: str = Field(default="202605", pattern=r"^\d{6}$")
    """Version of LinkedIn's interface (year and month); LinkedIn serves each for a year."""

    stand_in_url: str | None = None
    """Send every social post to this stand-in server instead of the platforms (demo and tests)."""

    webhooks_to_private_addresses: bool = False
    """Let webhooks go to http and to private addresses; for development only."""

    dns_servers: tuple[str, ...] = ()
    """Who is asked whose a domain is, a JSON list as in ["10.0.0.2:53"]; the system's servers otherwise."""

    smtp_host: str | None = None
    """Mail server for alerts; without it no e-mail is sent, and the deliveries say so."""

    smtp_port: int = Field(default=587, ge=1, le=65_535)

    smtp_security: Literal["none", "starttls", "tls"] = "starttls"

    smtp_username: str | None = None

    smtp_password: SecretStr | None = None

    mail_from: str = "Marketing Genius <alerts@localhost>"

    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    """A worker serves metrics of its whole pool here; 0 takes a free port and logs it; none by default."""

    metrics_address: str = "127.0.0.1"
    """Where a worker serves them."""

    metrics_token: LongSecret | None = None
    """Whoever asks the intake for metrics shows it as a bearer token. Without it none names a tenant."""

    metrics_tenants: int = Field(default=10, ge=0, le=100)
    """So many tenants of each lane are named in metrics: who waits longest, and who used most."""

    traces_url: str | None = None
    """OTLP/HTTP address of a collector, as http://collector:4318/v1/traces; without it nothing is traced."""

    traces_sampled: float = Field(default=1.0, ge=0, le=1)
    """Share of requests whose jobs are traced."""

    traces_from_callers: bool = False
    """Go on with the trace that a request names: where callers, such as a gateway, may decide that."""

    flower_users: Annotated[Mapping[str, FlowerUser], BeforeValidator(_parsed)] = Field(default_factory=dict)
    """Who may see Flower, as JSON: {"ada": {"password": ..., "role": "operator"}}."""

    flower_open: bool = False
    """Serve Flower without credentials; only where it listens on a loopback address."""

    flower_directory: Path = ROOT / "var" / "flower"
    """Where Flower keeps the tasks it has seen."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    log_format: Literal["json", "console"] = "json"

    @property
    def has_issuer(self) -> bool:
        """Tell whether tokens come from an issuer that publishes its keys."""
        return self.jwks_url is not None or self.jwks_file is not None

    @model_validator(mode="after")
    def keys_come_with_names(self) -> Self:
        """Refuse an issuer whose tokens for another service would be good here too."""
        if self.jwks_url is not None and self.jwks_file is not None:
            raise ValueError("set one of GENIUS_JWKS_URL and GENIUS_JWKS_FILE, not both")
        if self.has_issuer and not (self.jwt_audience and self.jwt_issuer):
            raise ValueError(
                "GENIUS_JWKS_URL and GENIUS_JWKS_FILE need GENIUS_JWT_AUDIENCE and GENIUS_JWT_ISSUER"
            )
        return self

    @model_validator(mode="after")
    def servers_prove_who_they_are(self) -> Self:
        """Refuse URLs by which data could travel in the open, or to whoever says that they are the server."""
        if not self.require_tls:
            return self
        for name in ("database_url", "owner_database_url", "relay_database_url"):
            url: PostgresDsn | None = getattr(self, name)
            if url is not None and ("sslmode", "verify-full") not in url.query_params():
                raise ValueError(
                    f"GENIUS_{name.upper()} must end in ?sslmode=verify-full&sslrootcert=/path/to/ca.pem, "
                    "since GENIUS_REQUIRE_TLS is set"
                )
        lax = {("ssl_cert_reqs", "none"), ("ssl_cert_reqs", "optional"), ("ssl_check_hostname", "false")}
        if self.redis_url.scheme != "rediss" or lax & {
            (k, v.lower()) for k, v in self.redis_url.query_params()
        }:
            raise ValueError(
                "GENIUS_REDIS_URL must begin with rediss:// and check the server's certificate, "
                "since GENIUS_REQUIRE_TLS is set"
            )
        return self

    @model_validator(mode="after")
    def production_is_no_development(self) -> Self:
        """Refuse to serve customers with what was meant for trying things out."""
        if self.environment != "production":
            return self
        if self.jwks_url is not None and self.jwks_url.scheme != "https":
            raise ValueError("GENIUS_JWKS_URL must be https in production")
        for name in ("jwt_secret", "seal_secret", "pointer_secret", "credential_secret"):
            secret: str = getattr(self, name).get_secret_value()
            if secret.startswith(DEVELOPMENT_MARK) or len(set(secret)) < FEWEST_CHARACTERS:
                raise ValueError(
                    f"GENIUS_{name.upper()} is a development secret, or too simple, and this is production: "
                    "make one with `openssl rand -hex 32`, or set GENIUS_ENVIRONMENT=development"
                )
        return self


@cache
def get_settings() -> Settings:
    """Read the environment once per process; what it leaves out, from the files of `secrets_directory`."""
    directory = secrets_directory()
    return Settings(_secrets_dir=directory if directory.is_dir() else None)


def secrets_directory() -> Path:
    """Return the folder of secrets, which ``GENIUS_SECRETS_DIRECTORY`` may name."""
    return Path(os.environ.get("GENIUS_SECRETS_DIRECTORY", SECRETS_DIRECTORY))


def read_variable(name: str) -> str | None:
    """Read a variable that is no setting, such as the superuser's URL, as settings are read."""
    if os.environ.get(name):
        return os.environ[name]
    file = secrets_directory() / name
    return (file.read_text().strip() or None) if file.is_file() else None
