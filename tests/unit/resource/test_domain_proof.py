"""Domains as DNS spells them, and what proves whose they are."""

import pytest

from intake.domain_proof import is_proved, new_token, normal_domain, record_name


class Records:
    """TXT records without DNS."""

    def __init__(self, **records: str) -> None:
        self._records = records

    def texts(self, name: str) -> frozenset[str]:
        return frozenset(value for label, value in self._records.items() if name == f"_genius.{label}.org")


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("News.Example.COM", "news.example.com"),
        (" example.org. ", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_domain_is_kept_as_dns_spells_it(text: str, domain: str) -> None:
    assert normal_domain(text) == domain


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "localhost",
            "a..b",
            "-a.example",
            "a_b.example",
            "127.0.0.1",
            "[::1]",
            "http://a.example",
        ),
        *("a.example/x", "a.example:80", "*.example.org", "a b.example"),
        *("x" * 64 + ".example", "a." * 130 + "example"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a domain"):
        normal_domain(text)


def test_the_token_proves_it_beside_the_domain_and_no_other_does() -> None:
    token = new_token()
    assert token != new_token()
    assert record_name("a.org") == "_genius.a.org"
    assert is_proved("a.org", token, Records(a=token))
    assert not is_proved("a.org", token, Records(a=token + "x", b=token))
