"""How platforms count a text."""

import re
import unicodedata

import grapheme

LINK_WEIGHT = 23
LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))
"""Code points that weigh one on X; all others weigh two. Source: twitter-text, configuration v3."""
EMOJI_FROM, KEYCAP, EMOJI_STYLE = 0x1F000, "\u20e3", "\ufe0f"

LINK = re.compile(
    r"https?://[^\s<>\"]+[^\s<>\".,;:!?)\]'\u2019\u201d]"
    r"|(?<![\w@.#$/-])(?>(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){1,8}"
    r"(?:com|org|net|edu|gov|info|biz|app|dev|shop|store|online|site|blog|tech|news|agency|[a-z]{2}))"
    r"(?![\w-]|\.\w)(?:[/?][^\s<>\"]*[^\s<>\".,;:!?)\]'\u2019\u201d]|/)?",
    re.IGNORECASE,
)
"""What a platform makes a link of: an address, or a name under a top-level domain."""


def is_emoji(cluster: str) -> bool:
    """Tell whether a grapheme is shown as a picture."""
    return EMOJI_STYLE in cluster or KEYCAP in cluster or any(ord(char) >= EMOJI_FROM for char in cluster)


def weighted(text: str) -> int:
    """Count as X does: a link 23, a picture character 2, Latin and its neighbours 1, all else 2."""
    normal = unicodedata.normalize("NFC", text)
    links = len(LINK.findall(normal))
    rest = LINK.sub("", normal)
    return links * LINK_WEIGHT + sum(_weight(cluster) for cluster in grapheme.graphemes(rest))


def _weight(cluster: str) -> int:
    if is_emoji(cluster):
        return 2
    return sum(1 if any(low <= ord(char) <= high for low, high in LIGHT) else 2 for char in cluster)


def with_emoji_as_bytes(text: str) -> int:
    """Count as Threads does: characters, but a picture character as the bytes it takes in UTF-8."""
    return sum(
        len(cluster.encode()) if is_emoji(cluster) else len(cluster) for cluster in grapheme.graphemes(text)
    )


def utf16(text: str) -> int:
    """Count UTF-16 units, the most that LinkedIn, Facebook or Instagram may count."""
    return len(text.encode("utf-16-le")) // 2
