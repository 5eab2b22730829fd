"""Whether the text layer of a file is letters, or codes that only its fonts understand. Ours."""

from __future__ import annotations

import re
import unicodedata

UNMAPPED = 0.2
"""The share of characters without a Unicode value, or without a meaning, of a garbled layer."""
PLAUSIBLE = 0.3
"""The share of the characters of words in Latin letters that are in words that look like words,
below which a layer is garbled."""
LEAST = 200
"""Fewer characters in words prove nothing."""

_WORD = re.compile(r"\S{3,}")
_LIKE_A_WORD = re.compile(
    r"\W*(?=[^\W\d_]*[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœ])"
    r"([A-Z]?[^\W\dA-Z_]+|[A-Z]+)(['’/&-]([A-Z]?[^\W\dA-Z_]+|[A-Z]+))*\W*"
)


def garbled(text: str, unmapped: int) -> bool:
    """Whether a text is no text.

    unmapped: characters of it for which the file gives no Unicode value

    Either many characters have no value or no meaning (private use, unassigned, controls), or most
    words in Latin letters look like no words: letters, digits and signs in one, capitals within,
    no vowel.

    >>> garbled("Owned peer review and the editors behind it. " * 10, 0)
    False
    >>> garbled("2ZQHG SHHU UHYLHZ DQG WKH HGLWRUV EHKLQG LW\x11 " * 10, 0)
    True
    """
    letters = [c for c in text if not c.isspace()]
    if not letters:
        return False
    meaningless = sum(
        unicodedata.category(c) in ("Co", "Cn", "Cc") or c == "\ufffd" for c in letters
    )
    if max(unmapped, meaningless) > UNMAPPED * len(letters):
        return True
    latin = [w for w in _WORD.findall(text) if max(w) < "\u0250"]
    words = [w for w in latin if not re.fullmatch(r"[\W\d_]+", w)]
    total = sum(map(len, words))
    if total < LEAST or 2 * total < len(letters):
        return False
    return sum(len(w) for w in words if _LIKE_A_WORD.fullmatch(w)) < PLAUSIBLE * total
