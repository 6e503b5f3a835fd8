"""What a file is, by its bytes: its name and what its sender says of it count for nothing."""

import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from mutagen import MutagenError
from mutagen.mp4 import MP4
from PIL import Image, UnidentifiedImageError

PICTURES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
"""Pillow's names of the formats that are taken; no other decoder is even tried."""
FILM_BRANDS = {b"qt  ": "video/quicktime"}
MOST_PIXELS = 100_000_000
HEAD = 12
SMALLEST_SIDE = 1


class UnknownTypeError(Exception):
    """The bytes are no picture or film that we take."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the bytes turned out to be."""

    content_type: str
    width: int | None = None
    height: int | None = None
    duration: timedelta | None = None

    @property
    def is_film(self) -> bool:
        return self.content_type.startswith("video/")


def look(path: Path) -> Seen:
    """Return what the file is.

    Raises:
        UnknownTypeError: Nothing that we take, or it is broken.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    return _film(path, head[8:12]) if head[4:8] == b"ftyp" else _picture(path)


def _picture(path: Path) -> Seen:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a picture that unfolds into gigabytes is only warned of
        try:
            with Image.open(path, formats=tuple(PICTURES)) as picture:
                width, height = picture.size
                if width * height > MOST_PIXELS:
                    raise UnknownTypeError(f"the picture has more than {MOST_PIXELS:,} pixels")
                kind = PICTURES[picture.format or ""]
                picture.verify()
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, KeyError, Warning) as error:
            raise UnknownTypeError("it is no JPEG, PNG, GIF or WebP picture and no MP4 film") from error
        except Image.DecompressionBombError as error:
            raise UnknownTypeError("the picture is too large to unfold") from error
    return Seen(kind, width, height)


def _film(path: Path, brand: bytes) -> Seen:
    try:
        film: Any = MP4(path)  # type: ignore[no-untyped-call]
        seconds = film.info.length
    except (MutagenError, OSError, ValueError, IndexError, AttributeError) as error:
        raise UnknownTypeError("the film's header cannot be read") from error
    if not seconds:
        raise UnknownTypeError("the film has no length")
    return Seen(FILM_BRANDS.get(brand, "video/mp4"), duration=timedelta(seconds=float(seconds)))
