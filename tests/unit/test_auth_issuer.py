"""The issuer's keys: which are used, how often they are asked for, and for how long they hold."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt import PyJWKSetError
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from intake.auth.issuer import IssuerAwayError, IssuerKeys, Spans, usable_keys
from intake.problem import UnauthenticatedError

TAKEN = ("RS256", "EdDSA")
SPANS = Spans(timedelta(seconds=300), timedelta(seconds=10), timedelta(hours=24))
ED: dict[str, Any] = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key(), as_dict=True)


class Publisher:
    """Stands in for the issuer: counts how often it is asked."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.names = ["a"]
        self.answer: Callable[[], bytes] = self.document

    def document(self) -> bytes:
        return json.dumps({"keys": [ED | {"kid": name, "alg": "EdDSA"} for name in self.names]}).encode()

    async def fetch(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        return self.answer()

    def keys(self) -> IssuerKeys:
        return IssuerKeys(self.fetch, algorithms=TAKEN, spans=SPANS, clock=lambda: self.now)


async def found(keys: IssuerKeys, name: str) -> bool:
    """Tell whether a key is there, once readings that were begun are over."""
    try:
        await keys.find(name)
    except UnauthenticatedError:
        return False
    finally:
        for _ in range(5):
            await asyncio.sleep(0)
    return True


def test_random_names_make_us_ask_once_in_ten_seconds() -> None:
    issuer = Publisher()

    async def flood() -> None:
        keys = issuer.keys()
        assert await found(keys, "a")
        for second in range(31):
            issuer.now = float(second)
            outcomes = await asyncio.gather(*(found(keys, f"{second}-{n}") for n in range(50)))
            assert not any(outcomes)

    asyncio.run(flood())
    assert issuer.asked == 4, "at first, and at 10, 20 and 30 s"


def test_all_who_wait_for_a_new_key_share_one_question() -> None:
    issuer = Publisher()

    async def rotate() -> None:
        keys = issuer.keys()
        assert await found(keys, "a")
        issuer.names, issuer.now = ["a", "b"], 11.0
        assert all(await asyncio.gather(*(found(keys, "b") for _ in range(50))))

    asyncio.run(rotate())
    assert issuer.asked == 2


def test_a_withdrawn_key_ends_with_the_next_refresh() -> None:
    issuer = Publisher()

    async def withdraw() -> list[bool]:
        keys = issuer.keys()
        issuer.names = ["a", "b"]
        seen = [await found(keys, "a")]
        issuer.names = ["b"]
        for moment in (299.0, 301.0, 302.0):
            issuer.now = moment
            seen.append(await found(keys, "a"))
        return seen

    assert asyncio.run(withdraw()) == [True, True, True, False], (
        "the refresh runs beside the request at 301 s"
    )


def test_an_outage_keeps_keys_up_to_the_limit_and_then_nobody_comes_in() -> None:
    issuer = Publisher()

    def away() -> bytes:
        raise httpx.ConnectError("away")

    async def outage() -> None:
        keys = issuer.keys()
        assert await found(keys, "a")
        issuer.answer = away
        for hours in (1, 12, 24):
            issuer.now = hours * 3_600.0
            assert await found(keys, "a")
        issuer.now = 24 * 3_600.0 + 1
        with pytest.raises(IssuerAwayError):
            await keys.find("a")
        issuer.answer, issuer.now = issuer.document, issuer.now + 11
        assert await found(keys, "a")

    asyncio.run(outage())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'{"keys": 7}',
        b'{"keys": []}',
        b'{"keys": [7]}',
        b"\xff",
        b"[" * 9_000,
    ],
    ids=repr,
)
def test_a_document_that_makes_no_sense_changes_nothing(answer: bytes) -> None:
    issuer = Publisher()

    async def spoil() -> None:
        keys = issuer.keys()
        assert await found(keys, "a")
        issuer.answer, issuer.now = (lambda: answer), 11.0
        assert not await found(keys, "b")
        assert await found(keys, "a")

    asyncio.run(spoil())
    assert issuer.asked == 2


def test_only_public_signing_keys_of_algorithms_that_are_taken_are_used() -> None:
    weak = generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - to see it refused
    strong = generate_private_key(public_exponent=65_537, key_size=2_048)
    rsa = RSAAlgorithm.to_jwk(strong.public_key(), as_dict=True)
    offered = [
        ED | {"kid": "good"},
        ED | {"kid": "for encryption", "use": "enc"},
        ED | {"kid": ""},
        ED,
        rsa | {"kid": "rsa"},
        rsa | {"kid": "another algorithm", "alg": "RS512"},
        rsa | {"kid": "a secret's algorithm", "alg": "HS256"},
        RSAAlgorithm.to_jwk(strong, as_dict=True) | {"kid": "private"},
        RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True) | {"kid": "weak"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared too", "alg": "RS256"},
        {"kty": "magic", "kid": "unknown"},
    ]
    document = json.dumps({"keys": offered}).encode()
    assert set(usable_keys(document, TAKEN)) == {"good", "rsa"}


def test_of_two_keys_of_one_name_the_first_counts() -> None:
    other = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate().public_key(), as_dict=True)
    document = json.dumps({"keys": [ED | {"kid": "a"}, other | {"kid": "a"}]}).encode()
    assert OKPAlgorithm.to_jwk(usable_keys(document, TAKEN)["a"].key, as_dict=True)["x"] == ED["x"]


def test_a_document_without_a_usable_key_is_refused() -> None:
    with pytest.raises(PyJWKSetError):
        usable_keys(b'{"keys": []}', TAKEN)
