"""An issuer of tokens: keys, a JWKS document on a real server, and tokens good and bad."""

import base64
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from models.organization import Tenant

PrivateKey = RSAPrivateKey | Ed25519PrivateKey


def new_rsa() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65_537, key_size=2_048)


def published(key: PrivateKey, key_id: str, **more: str) -> dict[str, Any]:
    """Return *key* as a JWKS document shows it."""
    algorithm = RSAAlgorithm if isinstance(key, RSAPrivateKey) else OKPAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


class Issuer:
    """Publishes what is in ``keys`` at ``/jwks.json`` and remembers which paths were asked for."""

    name = "https://login.example.org/"
    audience = "genius-tests"

    def __init__(self) -> None:
        self.rsa, self.ed = new_rsa(), Ed25519PrivateKey.generate()
        self.keys = {
            "rsa": published(self.rsa, "rsa", alg="RS256"),
            "ed": published(self.ed, "ed", alg="EdDSA"),
        }
        self.asked: list[str] = []
        self.is_away = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def claims(self, tenant: Tenant, **changes: Any) -> dict[str, Any]:
        """Return what a good token says; ``...`` leaves a claim out."""
        now = datetime.now(UTC)
        whole = {
            "iss": self.name,
            "aud": self.audience,
            "jti": uuid4().hex,
            "user_id": "ann@example.org",
            "organization_id": str(tenant.organization_id),
            "role": "owner",
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(minutes=5)).timestamp()),
        } | changes
        return {name: value for name, value in whole.items() if value is not ...}

    def token(
        self,
        tenant: Tenant,
        *,
        key: Any = None,
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """Sign a token as the issuer does, or as somebody else would."""
        headers = {"kid": "rsa"} | (header or {})
        return jwt.encode(
            self.claims(tenant, **changes), key or self.rsa, algorithm=algorithm, headers=headers
        )

    def forged(self, tenant: Tenant, header: dict[str, Any], signature: str = "") -> str:
        """Put together a token that nobody signed."""
        return f"{part(header)}.{part(self.claims(tenant))}.{signature}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                self.send_response(500 if issuer.is_away else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": list(issuer.keys.values())}).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
