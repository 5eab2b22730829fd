"""The words of a text, for retrievers that compare words, in any language."""

from __future__ import annotations

import re
import unicodedata

import regex

from jdcv_core.readable_text import readable

_ASCII_WORD = re.compile(r"\w{2,}")
# Scripts without spaces between words. Han and kana have many letters, so that pairs of them are
# nearly words; the others have few, and write vowels as marks (\X is a letter with its marks).
_DENSE = r"[々〇\p{Han}\p{Hiragana}\p{Katakana}ー]"
_SPARSE = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
_RUN = regex.compile(
    rf"(?P<dense>{_DENSE}+)|(?P<hangul>\p{{Hangul}}+)|(?P<sparse>{_SPARSE}+)"
    rf"|(?:(?!{_DENSE}|\p{{Hangul}}|{_SPARSE})[\p{{L}}\p{{N}}_]\p{{M}}*){{2,}}",
    regex.VERSION1,
)
_CLUSTER = regex.compile(r"\X")
_MARKED = regex.compile(r"([\p{Latin}\p{Greek}\p{Arabic}\p{Hebrew}])\p{Mn}+")
_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
    | {"\u0451": "\u0435"}  # Cyrillic ё, which is mostly written е
)
NO_SPACES = 3
"""Letters of each word that is made of a script without spaces and with few letters."""


def words(text: str) -> list[str]:
    """The words of a text in any language, in order.

    - A word is a run of at least two letters, digits or underscores, with their marks.
    - Chinese and Japanese have no spaces: each letter is a word, and so is each pair of neighbours.
      Of Korean, whose words have endings, each pair is a word.
    - Thai, Lao, Khmer, Burmese and Tibetan have no spaces either: each three neighbouring letters
      with their vowels are a word.
    - Forms of a letter are made equal: upper and lower case, ß and ss, wide and narrow forms; also
      accents, vowel points and strokes of Latin, Greek, Arabic and Hebrew letters, which many
      people leave out (é and e, ł and l, أ and ا).

    The text is repaired first (`readable`). Ours; pairs of letters are the bigrams of Lucene's
    CJKAnalyzer.

    >>> words("Straßenbau-Ingénieur (m/w), 軟體 C++")
    ['strassenbau', 'ingenieur', '軟', '軟體', '體']
    """
    plain = readable(text).text
    if plain.isascii():
        return _ASCII_WORD.findall(plain.lower())
    found: list[str] = []
    for run in _RUN.finditer(_plain_letters(plain)):
        own = run[0]
        if run["dense"]:
            found += [part for at in range(len(own)) for part in (own[at], own[at : at + 2])]
            found.pop()  # the last letter has no neighbour
        elif run["hangul"]:
            found += _neighbours(list(own), 2)
        elif run["sparse"]:
            found += _neighbours(_CLUSTER.findall(own), NO_SPACES)
        else:
            found.append(own)
    return found


def _plain_letters(text: str) -> str:
    """Letters without case, width, accents and strokes."""
    wide = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    bare = _MARKED.sub(r"\1", unicodedata.normalize("NFD", wide))
    return unicodedata.normalize("NFC", bare).translate(_LETTERS)


def _neighbours(letters: list[str], count: int) -> list[str]:
    """Each `count` neighbours as one word; all letters as one if there are fewer."""
    last = max(1, len(letters) - count + 1)
    return ["".join(letters[at : at + count]) for at in range(last)]
