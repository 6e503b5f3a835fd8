"""Servers that leak rows past row-level security are refused."""

import pytest

from migrations.server import UnsupportedServerError, refuse_unsafe


@pytest.mark.parametrize("version", [150014, 160010, 170006, 180000, 190002])
def test_a_server_with_the_fixes_is_accepted(version: int) -> None:
    refuse_unsafe(version)


@pytest.mark.parametrize(
    ("version", "needed"),
    [(140099, "15.14"), (150013, "15.14"), (160009, "16.10"), (170005, "17.6")],
)
def test_a_server_without_them_is_refused_and_told_what_it_needs(version: int, needed: str) -> None:
    with pytest.raises(UnsupportedServerError, match=f"upgrade to {needed} or newer") as refused:
        refuse_unsafe(version)

    assert refused.value.version == version
