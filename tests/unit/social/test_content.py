"""Length, links and keys as the platforms count and read them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.social import PlatformName
from tasks.social_posting.bluesky import link_facets
from tasks.social_posting.content import Content, Medium, Variant, choose, problems
from tasks.social_posting.mastodon import plain_text
from tasks.social_posting.platform import Account, Platform, Tokens
from tasks.social_posting.registry import PLATFORMS
from tasks.social_posting.tid import ALPHABET, LENGTH, new_tid

NOW = datetime(2026, 5, 17, 12, 0, 0, 123456, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FAMILY = "👩‍👩‍👧‍👦"


BLUESKY, MASTODON = PLATFORMS[PlatformName.BLUESKY], PLATFORMS[PlatformName.MASTODON]
ACCOUNT = Account(UUID(int=1), PlatformName.BLUESKY, "shop.test", "did:plc:1", None)
PICTURE = Medium("image/png", 1_000)
FILM = Medium("video/mp4", 1_000)


def found(platform: Platform, text: str, *media: Medium) -> list[str]:
    return [str(problem) for problem in problems(platform, Content(text, media))]


def test_a_family_emoji_is_one_character_and_twenty_five_bytes() -> None:
    assert BLUESKY.length(FAMILY) == 1
    assert found(BLUESKY, FAMILY * 120) == []
    assert found(BLUESKY, FAMILY * 121) == [
        "text: has 3025 bytes, 3000 are allowed on bluesky: shorten it by 25 bytes"
    ]


def test_a_text_may_reach_the_limit_and_not_pass_it() -> None:
    assert found(BLUESKY, "x" * 300) == []
    assert found(BLUESKY, "x" * 301) == [
        "text: has 301 characters as bluesky counts, 300 are allowed: shorten it by 1"
    ]
    assert found(MASTODON, "x" * 500) == []


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_an_empty_post_is_refused(text: str) -> None:
    assert found(MASTODON, text) == ["text: the post is empty: write a text or attach a medium"]
    assert found(MASTODON, text, PICTURE) == []


def test_media_past_the_limits_are_refused() -> None:
    assert found(MASTODON, "x", *[PICTURE] * 5) == [
        "media: 5 media are attached, 4 allowed on mastodon: remove 1"
    ]
    assert found(BLUESKY, "x", FILM, FILM) == ["media: 2 films are attached, 1 allowed on bluesky: remove 1"]
    assert found(BLUESKY, "x", FILM, PICTURE) == [
        "media: bluesky takes pictures or a film, not both: remove one sort"
    ]


def test_each_medium_is_judged_by_its_place() -> None:
    big, gif = replace(PICTURE, size=1_000_001), replace(PICTURE, content_type="image/gif")
    told = replace(PICTURE, alt_text="x" * 2_001)
    long = replace(FILM, duration=timedelta(minutes=4))
    assert found(BLUESKY, "x", PICTURE, big, gif, told) == [
        "media[1]: has 1,000,001 bytes, 1,000,000 are allowed on bluesky: make it smaller",
        "media[2]: is image/gif, bluesky takes image/jpeg, image/png, image/webp: convert it",
        "media[3].alt_text: has 2001 characters, 2000 are allowed on bluesky: shorten it",
    ]
    assert found(BLUESKY, "x", long) == ["media[0]: lasts 240 s, 180 are allowed on bluesky: cut it"]


def test_a_server_may_allow_more_than_others() -> None:
    account = replace(ACCOUNT, attributes={"limits": {"characters": 5_000}})
    content = Content("x" * 4_000)
    assert problems(MASTODON, content, MASTODON.limits_of(account)) == []
    assert problems(MASTODON, content, MASTODON.limits_of(ACCOUNT)) != []


def test_a_variant_replaces_what_it_names() -> None:
    assert choose("all", (PICTURE,), None) == Content("all", (PICTURE,))
    assert choose("all", (PICTURE,), Variant(text="one")) == Content("one", (PICTURE,))
    assert choose("all", (PICTURE,), Variant(media=())) == Content("all", ())


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
    intent = BLUESKY.prepare(ACCOUNT, "token", Content("hello"), uploads=[], at=NOW)
    assert intent.body == {
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
