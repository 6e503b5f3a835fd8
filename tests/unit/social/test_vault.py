"""Secrets decrypt in their own place, under a known key, and nowhere else."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.vault import Place, UndecryptableError, Vault

MINE, THEIRS = UUID(int=1), UUID(int=2)
PLACE = Place(MINE, "social_accounts", "access_token_encrypted", UUID(int=3))
OLD, NEW = b"o" * 32, b"n" * 32


@given(st.text())
def test_a_secret_comes_back(secret: str) -> None:
    vault = Vault([OLD])
    assert vault.decrypt(vault.encrypt(secret, PLACE), PLACE) == secret


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, organization_id=THEIRS),
        replace(PLACE, table="leads"),
        replace(PLACE, column="refresh_token_encrypted"),
        replace(PLACE, row_id=UUID(int=4)),
    ],
)
def test_a_ciphertext_copied_to_another_place_does_not_decrypt(elsewhere: Place) -> None:
    vault = Vault([OLD])
    with pytest.raises(UndecryptableError):
        vault.decrypt(vault.encrypt("secret", PLACE), elsewhere)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_an_altered_ciphertext_does_not_decrypt(position: int, change: int) -> None:
    vault = Vault([OLD])
    sealed = bytearray(vault.encrypt("secret", PLACE))
    sealed[position % len(sealed)] ^= change
    with pytest.raises(UndecryptableError):
        vault.decrypt(bytes(sealed), PLACE)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01short", b"plain token of some length, long enough"])
def test_what_is_no_ciphertext_does_not_decrypt(sealed: bytes) -> None:
    with pytest.raises(UndecryptableError):
        Vault([OLD]).decrypt(sealed, PLACE)


def test_a_new_master_key_still_reads_what_the_old_one_wrote() -> None:
    sealed = Vault([OLD]).encrypt("secret", PLACE)
    both = Vault([NEW, OLD])
    assert both.decrypt(sealed, PLACE) == "secret"
    assert not both.is_current(sealed)
    again = both.encrypt("secret", PLACE)
    assert both.is_current(again)
    with pytest.raises(UndecryptableError):
        Vault([OLD]).decrypt(again, PLACE)


def test_the_same_secret_never_looks_the_same_twice() -> None:
    vault = Vault([OLD])
    assert vault.encrypt("secret", PLACE) != vault.encrypt("secret", PLACE)
