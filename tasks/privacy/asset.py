"""Media of the library that tell of a person, by what is written with them or by their own bytes."""

from sqlalchemy import ColumnElement, Text, cast, func

from models.content import ContentAsset


def mentions(pattern: str) -> ColumnElement[bool]:
    """Match media with which something is written that matches."""
    said = func.concat_ws(
        "\n",
        ContentAsset.title,
        ContentAsset.body,
        ContentAsset.alt_text,
        ContentAsset.media_url,
        cast(ContentAsset.tags, Text),
        cast(ContentAsset.attributes, Text),
    )
    return said.op("~*")(pattern)


def holds(content: bytes, words: tuple[str, ...]) -> bool:
    """Tell whether a file says one of the words where a program would read it: captions, authors, places."""
    lowered = content.lower()
    return any(word.lower().encode(coding) in lowered for word in words for coding in ("utf-8", "utf-16-le"))
