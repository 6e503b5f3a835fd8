"""What a post says, and what a platform would refuse of it, found before anything is sent."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.social_posting.platform import Platform

MEGABYTE = 1_000_000
SHAPE_SLACK = 0.01

_HASHTAG = re.compile(r"(?<!\w)#\w*[^\W\d]\w*")


def _unread() -> bytes:
    raise ValueError("this medium was described and not opened")


@dataclass(frozen=True, slots=True)
class Medium:
    """One picture or film of a post."""

    content_type: str
    """Such as `image/jpeg`, found by looking at the bytes."""
    size: int
    """Bytes."""
    alt_text: str = ""
    width: int | None = None
    height: int | None = None
    duration: timedelta | None = None
    url: str | None = None
    """Where the platform may fetch it: Instagram, Threads and Facebook films are not sent as bytes."""
    read: Callable[[], bytes] = field(default=_unread, repr=False, compare=False)
    """Return the bytes."""

    @property
    def is_film(self) -> bool:
        """Tell whether it moves and has a length."""
        return self.content_type.startswith("video/")


@dataclass(frozen=True, slots=True)
class Content:
    """What a post says on one platform."""

    text: str
    media: tuple[Medium, ...] = ()


@dataclass(frozen=True, slots=True)
class MediumLimits:
    """What a platform takes of one sort of medium."""

    count: int
    """Most in one post."""
    types: frozenset[str]
    size: int
    """Bytes."""
    shortest: timedelta = timedelta(0)
    longest: timedelta | None = None
    narrowest: float | None = None
    """Smallest width over height."""
    widest: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a platform takes."""

    characters: int
    """Counted as the platform counts: `Platform.length`."""
    pictures: MediumLimits
    films: MediumLimits | None = None
    bytes: int | None = None
    """Of the text as UTF-8."""
    media: int = 0
    """Most media of any sort in one post."""
    mixed: bool = False
    """Pictures and films may stand in one post."""
    needs_medium: bool = False
    alt_text: int = 0
    """Characters; 0 keeps none."""
    hashtags: int | None = None
    fetches: bool = False
    """It fetches media itself, so each needs a public URL."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason for which a platform would refuse a post."""

    field: str
    """`text`, `media`, `media[0]`, `media[0].alt_text`."""
    message: str
    """The limit, what was found, and what to do."""

    def __str__(self) -> str:
        """Read as one line."""
        return f"{self.field}: {self.message}"


def described(media: Sequence[Mapping[str, Any]]) -> tuple[Medium, ...]:
    """Return media as they stand with a post in the database; reading them takes whoever keeps the bytes."""
    return tuple(
        Medium(
            content_type=each.get("content_type") or "of an unknown type",
            size=each.get("size") or 0,
            alt_text=each.get("alt_text") or "",
            width=each.get("width"),
            height=each.get("height"),
            duration=None if each.get("duration_ms") is None else timedelta(milliseconds=each["duration_ms"]),
            url=each.get("url"),
        )
        for each in media
    )


def choose(text: str, media: tuple[Medium, ...], variant: "Variant | None") -> Content:
    """Return what goes to one platform: its own variant where there is one, else what all get."""
    if variant is None:
        return Content(text, media)
    return Content(
        text if variant.text is None else variant.text, media if variant.media is None else variant.media
    )


@dataclass(frozen=True, slots=True)
class Variant:
    """What is said otherwise on one platform; None is as everywhere."""

    text: str | None = None
    media: tuple[Medium, ...] | None = None


def problems(platform: "Platform", content: Content, limits: Limits | None = None) -> list[Problem]:
    """Return why the platform would refuse the post; empty when it would not.

    Args:
        platform: Counts the text.
        content: What is to go out.
        limits: `Platform.limits_of` the account; None is the platform's own.
    """
    limits = platform.limits if limits is None else limits
    name = platform.name.value
    return [*_of_text(platform, name, content, limits), *_of_media(name, content.media, limits)]


def _of_text(platform: "Platform", name: str, content: Content, limits: Limits) -> Iterator[Problem]:
    text = content.text
    if not text.strip() and not content.media:
        yield Problem("text", "the post is empty: write a text or attach a medium")
    length = platform.length(text)
    if length > limits.characters:
        over = length - limits.characters
        yield Problem(
            "text",
            f"has {length} characters as {name} counts, {limits.characters} are allowed: "
            f"shorten it by {over}",
        )
    size = len(text.encode())
    if limits.bytes is not None and size > limits.bytes:
        over = size - limits.bytes
        yield Problem(
            "text", f"has {size} bytes, {limits.bytes} are allowed on {name}: shorten it by {over} bytes"
        )
    found = len(_HASHTAG.findall(text))
    if limits.hashtags is not None and found > limits.hashtags:
        yield Problem(
            "text",
            f"has {found} hashtags, {limits.hashtags} are allowed on {name}: "
            f"remove {found - limits.hashtags}",
        )


def _of_media(name: str, media: tuple[Medium, ...], limits: Limits) -> Iterator[Problem]:
    if limits.needs_medium and not media:
        yield Problem("media", f"{name} takes no post without a picture or film: attach one")
    films = sum(medium.is_film for medium in media)
    if films and films < len(media) and not limits.mixed:
        yield Problem("media", f"{name} takes pictures or a film, not both: remove one sort")
    if len(media) > limits.media:
        yield Problem("media", _too_many("media are", len(media), limits.media, name))
    elif limits.films is not None and films > limits.films.count:
        yield Problem("media", _too_many("films are", films, limits.films.count, name))
    elif len(media) - films > limits.pictures.count:
        yield Problem("media", _too_many("pictures are", len(media) - films, limits.pictures.count, name))
    for index, medium in enumerate(media):
        yield from _of_medium(name, f"media[{index}]", medium, limits)


def _too_many(what: str, found: int, allowed: int, name: str) -> str:
    return f"{found} {what} attached, {allowed} allowed on {name}: remove {found - allowed}"


def _of_medium(name: str, place: str, medium: Medium, limits: Limits) -> Iterator[Problem]:
    sort = limits.films if medium.is_film else limits.pictures
    if sort is None:
        yield Problem(place, f"films cannot be posted to {name}: remove it")
        return
    if medium.content_type not in sort.types:
        allowed = ", ".join(sorted(sort.types))
        yield Problem(place, f"is {medium.content_type}, {name} takes {allowed}: convert it")
    if medium.size > sort.size:
        yield Problem(
            place, f"has {medium.size:,} bytes, {sort.size:,} are allowed on {name}: make it smaller"
        )
    if limits.alt_text and len(medium.alt_text) > limits.alt_text:
        yield Problem(
            f"{place}.alt_text",
            f"has {len(medium.alt_text)} characters, {limits.alt_text} are allowed on {name}: shorten it",
        )
    yield from _of_length(name, place, medium, sort)
    yield from _of_shape(name, place, medium, sort)
    if limits.fetches and medium.url is None:
        yield Problem(place, f"{name} fetches media itself and this one has no public address")


def _of_length(name: str, place: str, medium: Medium, sort: MediumLimits) -> Iterator[Problem]:
    if medium.duration is None:
        return
    seconds = medium.duration.total_seconds()
    if medium.duration < sort.shortest:
        least = sort.shortest.total_seconds()
        yield Problem(place, f"lasts {seconds:g} s, {name} takes no film under {least:g} s")
    if sort.longest is not None and medium.duration > sort.longest:
        most = sort.longest.total_seconds()
        yield Problem(place, f"lasts {seconds:g} s, {most:g} are allowed on {name}: cut it")


def _of_shape(name: str, place: str, medium: Medium, sort: MediumLimits) -> Iterator[Problem]:
    if not medium.width or not medium.height:
        return
    shape = medium.width / medium.height
    too_narrow = sort.narrowest is not None and shape < sort.narrowest - SHAPE_SLACK
    too_wide = sort.widest is not None and shape > sort.widest + SHAPE_SLACK
    if too_narrow or too_wide:
        yield Problem(
            place,
            f"is {medium.width} x {medium.height} ({shape:.2f} wide for its height), {name} takes "
            f"{sort.narrowest} to {sort.widest}: crop it",
        )
