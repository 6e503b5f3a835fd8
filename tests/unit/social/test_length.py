"""Texts are counted as each platform counts them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.social import PlatformName
from tasks.social_posting.content import Content, Medium, problems
from tasks.social_posting.length import LINK, utf16, weighted, with_emoji_as_bytes
from tasks.social_posting.linkedin import escaped
from tasks.social_posting.registry import PLATFORMS
from tasks.social_posting.x import comparable

FAMILY = "👩‍👩‍👧‍👦"


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("", 0),
        ("hello", 5),
        ("café", 4),
        ("cafe\u0301", 4),
        ("日本語", 6),
        (FAMILY, 2),
        ("👍🏽", 2),
        ("🇩🇪", 2),
        ("1️⃣", 2),
        ("☀️", 2),
        ("\u201cquoted\u201d \u2013 dash\u2026", 17),
        ("https://example.org/" + "a" * 200, 23),
        ("see example.com.", 28),
        ("english text 日本語 😷 https://example.com", 46),
        ("mail ann@example.com", 20),
        ("a.b.c e.g. 3.14", 15),
    ],
)
def test_x_weighs_a_text(text: str, weight: int) -> None:
    assert weighted(text) == weight


@pytest.mark.parametrize(
    "text",
    ["a." * 30_000, "a.com" * 12_000, "http://a." + "a." * 30_000, "x.com/" + "." * 60_000, "a-" * 30_000],
)
def test_no_text_takes_long_to_count(text: str) -> None:
    begun = time.process_time()
    LINK.findall(text)
    assert time.process_time() - begun < 1


def test_threads_counts_a_picture_character_as_its_bytes() -> None:
    assert with_emoji_as_bytes("día " + FAMILY) == 4 + 25


def test_an_emoji_beyond_the_first_plane_is_two_units() -> None:
    assert utf16("a😷") == 3


def test_linkedin_sees_no_markup_in_a_text() -> None:
    assert escaped(r"a_b (c) #1 \ @x") == r"a\_b \(c\) \#1 \\ \@x"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_escaping_loses_nothing(text: str) -> None:
    back, escaping = [], False
    for char in escaped(text):
        if char == "\\" and not escaping:
            escaping = True
            continue
        back.append(char)
        escaping = False
    assert "".join(back) == text


def test_what_x_makes_of_a_link_is_comparable_with_what_was_written() -> None:
    assert comparable("go to example.com  now") == comparable("go to http://example.com now")
    assert comparable("go to example.com") != comparable("go from example.com")


@pytest.mark.parametrize(
    ("name", "most"),
    [
        (PlatformName.X, 280),
        (PlatformName.LINKEDIN, 3_000),
        (PlatformName.FACEBOOK, 63_206),
        (PlatformName.INSTAGRAM, 2_200),
        (PlatformName.THREADS, 500),
    ],
)
def test_a_text_may_reach_its_platforms_limit_and_not_pass_it(name: PlatformName, most: int) -> None:
    platform, picture = PLATFORMS[name], Medium("image/jpeg", 1_000, url="https://media.example/1")
    assert problems(platform, Content("x" * most, (picture,))) == []
    (found,) = problems(platform, Content("x" * (most + 1), (picture,)))
    assert str(found) == (
        f"text: has {most + 1} characters as {name.value} counts, {most} are allowed: shorten it by 1"
    )


@pytest.mark.parametrize("name", list(PlatformName))
def test_what_no_platform_takes_is_refused_with_its_place(name: PlatformName) -> None:
    program = Medium("application/zip", 1_000, url="https://media.example/1")
    (found,) = problems(PLATFORMS[name], Content("x", (program,)))
    assert found.field == "media[0]"
    assert "is application/zip" in found.message


def told(name: PlatformName, text: str, *media: Medium) -> list[str]:
    return [str(problem) for problem in problems(PLATFORMS[name], Content(text, media))]


def test_instagram_wants_a_medium_of_a_certain_shape_and_few_hashtags() -> None:
    tall = Medium("image/jpeg", 1_000, width=1_000, height=2_000, url="https://media.example/1")
    assert told(PlatformName.INSTAGRAM, "x") == [
        "media: instagram takes no post without a picture or film: attach one"
    ]
    assert told(PlatformName.INSTAGRAM, "#a " * 31, tall) == [
        "text: has 31 hashtags, 30 are allowed on instagram: remove 1",
        "media[0]: is 1000 x 2000 (0.50 wide for its height), instagram takes 0.8 to 1.91: crop it",
    ]


def test_a_platform_that_fetches_media_needs_their_address() -> None:
    assert told(PlatformName.THREADS, "x", Medium("image/png", 1_000)) == [
        "media[0]: threads fetches media itself and this one has no public address"
    ]


def test_a_film_is_refused_where_none_can_be_posted() -> None:
    assert told(PlatformName.FACEBOOK, "x", Medium("video/mp4", 1_000)) == [
        "media[0]: films cannot be posted to facebook: remove it"
    ]
