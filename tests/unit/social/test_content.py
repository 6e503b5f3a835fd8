"""Length, links and keys as the platforms count and read them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.social_posting.bluesky import Bluesky, link_facets
from tasks.social_posting.content import problems
from tasks.social_posting.mastodon import Mastodon, plain_text
from tasks.social_posting.platform import Account, Tokens
from tasks.social_posting.tid import ALPHABET, LENGTH, new_tid

NOW = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAMILY = "👩‍👩‍👧‍👦"


def nowhere(_: Account) -> str:
    raise AssertionError


BLUESKY, MASTODON = Bluesky(nowhere), Mastodon(nowhere)


def test_a_family_emoji_is_one_character_and_twenty_five_bytes() -> None:
    assert BLUESKY.length(FAMILY) == 1
    assert problems(BLUESKY, FAMILY * 120, []) == []
    assert problems(BLUESKY, FAMILY * 121, []) == ["the text has 3025 bytes, 3000 are allowed"]


def test_a_text_may_reach_the_limit_and_not_pass_it() -> None:
    assert problems(BLUESKY, "x" * 300, []) == []
    assert problems(BLUESKY, "x" * 301, []) == ["the text has 301 characters, 300 are allowed"]
    assert problems(MASTODON, "x" * 500, []) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_post_is_refused(text: str) -> None:
    assert problems(MASTODON, text, []) == ["the post is empty"]


def test_media_past_the_limit_are_refused() -> None:
    assert problems(MASTODON, "x", [{}]) == ["1 media are attached, 0 are allowed"]


def test_mastodon_counts_a_link_as_23_and_a_mention_without_its_server() -> None:
    assert MASTODON.length("see https://example.org/" + "a" * 300) == 4 + 23
    assert MASTODON.length("hello @ann@very.long.server.example") == len("hello @ann")


@given(st.text(), st.text())
def test_link_facets_point_at_the_bytes_of_the_link(before: str, after: str) -> None:
    link = "https://example.org/päth"
    text = f"{before} {link} {after}"
    spans = [
        text.encode()[facet["index"]["byteStart"] : facet["index"]["byteEnd"]].decode()
        for facet in link_facets(text)
    ]
    assert link in spans


def test_a_links_closing_punctuation_is_not_part_of_it() -> None:
    (facet,) = link_facets("(see https://example.org/a).")
    assert facet["features"][0]["uri"] == "https://example.org/a"


def test_a_frozen_record_carries_its_moment() -> None:
    record = BLUESKY.freeze("hello", NOW)
    assert record == {
        "$type": "app.bsky.feed.post",
        "text": "hello",
        "createdAt": "2026-05-17T12:00:00.123Z",
    }


@given(st.integers(0, 4_000_000_000_000_000), st.integers(1, 10**12))
def test_tids_sort_by_time(microseconds: int, later: int) -> None:
    moments = (EPOCH + timedelta(microseconds=value) for value in (microseconds, microseconds + later))
    first, second = map(new_tid, moments)
    assert first < second
    assert len(first) == LENGTH
    assert set(first) <= set(ALPHABET)
    assert first[0] in "234567abcdefghij"


def test_two_tids_of_one_moment_differ_nearly_always() -> None:
    assert len({new_tid(NOW) for _ in range(200)}) > 150


def test_the_text_of_a_status_is_read_from_its_html() -> None:
    content = "<p>Caf&eacute; &amp; &lt;b&gt;<br />second line</p><p>new <a href='x'>paragraph</a></p>"
    assert plain_text(content) == "Café & <b>\nsecond line\n\nnew paragraph"


def test_tokens_do_not_show_in_their_repr() -> None:
    assert "secret" not in repr(Tokens("secret-a", "secret-r", NOW))
