"""No tenant reads, replaces or forgets what is remembered for another; with keys of no tenant, each does."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from uuid_utils.compat import uuid7

from models.tenant_cache import Namespace, TenantCache, open_cache

MINE, THEIRS = (Namespace(uuid7(), "answers") for _ in range(2))
LASTS = timedelta(minutes=1)


@pytest.fixture
def cache(redis_url: str) -> Iterator[TenantCache]:
    cache = open_cache(redis_url)
    yield cache
    cache.close()


def the_same_question(cache: TenantCache) -> bool:
    cache.set(THEIRS, "q", b"secret", lasts=LASTS)
    return cache.get(MINE, "q") == b"secret"


def an_answer_put_where_the_other_looks(cache: TenantCache) -> bool:
    cache.set(MINE, "q", b"forged", lasts=LASTS)
    return cache.get_or_make(THEIRS, "q", lambda: b"own", lasts=LASTS) == b"forged"


def the_others_answers_forgotten(cache: TenantCache) -> bool:
    cache.set(THEIRS, "q", b"own", lasts=LASTS)
    cache.invalidate(MINE)
    return cache.get(THEIRS, "q") is None


ATTEMPTS: list[Callable[[TenantCache], bool]] = [
    the_same_question,
    an_answer_put_where_the_other_looks,
    the_others_answers_forgotten,
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_keys_keep_tenants_apart_and_keys_without_a_tenant_do_not(
    cache: TenantCache, monkeypatch: pytest.MonkeyPatch, attempt: Callable[[TenantCache], bool]
) -> None:
    assert not attempt(cache)
    monkeypatch.setattr(Namespace, "prefix", "tenant:answers:")
    assert attempt(cache), "the attack is no attack"
