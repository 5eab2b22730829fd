"""Text → atoms: numbers, and the words that stand in dates. Ours.

They are looked up, not searched for, so no input makes it slow.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import NamedTuple

from research.experience import languages

MOST_ATOMS = 10_000
"""Atoms that are read of one text, as many as 50 pages of publications have. What comes after them
is not read and this is said, so that no text takes long."""


class Atom(NamedTuple):
    """kind: number, month, season, open, onwards, masked (20XX), or foreign (not read)."""

    kind: str
    start: int
    end: int
    text: str


_OTHER_DASHES = "−⁻₋˗⁃➖─━ー\u00ad\u0096\u0097"
_ONE_TO_ONE = (
    {c: "-" for c in range(sys.maxunicode) if unicodedata.category(chr(c)) == "Pd"}
    | {ord(c): "-" for c in _OTHER_DASHES}
    | {ord(c): "~" for c in "～〜∼˜⁓"}
    | {c: " " for c in range(0x3001) if unicodedata.category(chr(c)) == "Zs"}
)
"""Every dash of Unicode's class Pd and what looks like one; every space of class Zs."""

_LETTERS = [c for c in map(chr, [*range(0x250), *range(0x370, 0x530)]) if c.isalpha()]
_UPPER = "".join(c for c in _LETTERS if c.isupper())
_LOWER = "".join(c for c in _LETTERS if not c.isupper())
_TOKEN = re.compile(
    r"(?:19|20)(?:\d[Xx*]|[Xx*]{2}|__|\?\?)(?![A-Za-z0-9])|"
    r"(?<=\d[/.-])(?P<letters>[Xx]{4}|[Yy]{4})(?!\w)|(?<!\d)(?:\d{8}|\d{4}|\d{1,2})(?!\d)|"
    rf"[Qq][1-4](?!\w)|[{_UPPER}]?[{_LOWER}]+|[{_UPPER}]+|"
    r"(?P<numerals>[〇零○一二三四五六七八九]{4}(?=\s?年))|"
    r"至今|迄今|现在|現在|目前|在職中|現職|현재|지금|재직\s?중|起|令和|平成|昭和|大正|民國|民国|"
    r"[\u0590-\u06ff]+|[\u0900-\u097f]+|[\u0e00-\u0e7f]+"
)
"""Numbers and words; words that are glued by their capitals come apart: `toCurrentLockheed`."""
_KINDS = (
    dict.fromkeys(languages.FOREIGN, "foreign")
    | dict.fromkeys(languages.OPEN, "open")
    | dict.fromkeys(languages.SEASON, "season")
    | dict.fromkeys(languages.MONTH, "month")
    | dict.fromkeys(("onward", "onwards", "起"), "onwards")
    | {"재직중": "open", "재직 중": "open"}
)


def plain_signs(text: str) -> str:
    """The text with one dash and one space for all of Unicode's; every character keeps its place.

    >>> plain_signs("2015\u2011\u20072019")
    '2015- 2019'
    """
    return text if text.isascii() else text.translate(_ONE_TO_ONE)


def atoms_of(text: str) -> tuple[list[Atom], int]:
    """Atoms in order, MOST_ATOMS at most; and up to which character the text was read."""
    atoms: list[Atom] = []
    seen: set[str] = set()
    kinds, marks, phrases = _KINDS, languages.MARKS, languages.PHRASES
    read = len(text)
    for m in _TOKEN.finditer(text):
        word = m[0]
        if m.lastgroup == "numerals":
            atoms.append(Atom("foreign", m.start(), m.end(), languages.NUMERALS))
        elif word[0].isdigit() or m.lastgroup:
            kind = "number" if word.isdecimal() else "masked"
            atoms.append(Atom(kind, m.start(), m.end(), word))
        else:
            word = word.lower()
            if word in marks:
                seen |= marks[word]
            phrase = _phrase(text, m.end(), phrases[word]) if word in phrases else ""
            kind = kinds.get(word, "")
            if phrase:
                atoms.append(Atom("open", m.end() - len(phrase), m.end(), phrase))
            elif kind:
                atoms.append(Atom(kind, m.start(), m.end(), word))
            elif word.startswith("to") and kinds.get(word[2:]) == "open":  # 2014tocurrent
                atoms.append(Atom("open", m.start() + 2, m.end(), word[2:]))
        if len(atoms) == MOST_ATOMS:
            read = m.end()
            break
    ambiguous = languages.AMBIGUOUS
    kept = [
        a
        for a in atoms
        if a.kind != "month" or a.text not in ambiguous or languages.belongs(a.text, seen)
    ]
    return kept, read


def _phrase(text: str, end: int, phrases: list[str]) -> str:
    """The phrase that ends at `end`, or ""."""
    for phrase in phrases:
        start = end - len(phrase)
        if (
            start >= 0
            and text[start:end].lower() == phrase
            and not text[start - 1 : start].isalpha()
        ):
            return phrase
    return ""
