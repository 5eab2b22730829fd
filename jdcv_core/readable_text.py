"""The text as a person reads it, for every reader of texts: tokens, words and dates.

A document keeps its text as it was read, and every offset points into that text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from jdcv_core.mojibake import Edit, mojibake_edits
from jdcv_core.text_repairs import character_edits, composition_edits, entity_edits

MOST_PASSES = 50
"""Each pass can uncover more (`&Acirc;&nbsp;`); no text of people needs more than five."""

_ASCII_TO_REPAIR = re.compile(r"[\x00-\x08\x0b-\x1f\x7f&]")


@dataclass(frozen=True, eq=False)
class Readable:
    """A repaired text that knows where each of its characters was.

    text:     the repaired text; the very same object if there was nothing to repair
    length:   of the original text
    starts, ends: int [character], where each character of `text` was in the original: its own
              place, and what was removed behind it. Together they cover the original. None if
              there was nothing to repair
    repairs:  kind of repair → how many
    """

    text: str
    length: int
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    repairs: Mapping[str, int] = field(default_factory=dict)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the original text that text[start:end] was made from; start <= end.

        >>> readable("ﬁ\\u200bx 2015 &ndash; 2019").span(0, 3)
        (0, 3)
        """
        ((first, last),) = self.spans(np.array([[start, end]])).tolist()
        return first, last

    def spans(self, offsets: np.ndarray | Sequence[tuple[int, int]]) -> np.ndarray:
        """As `span`, for int [part, 2]."""
        offsets = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
        if self.starts is None or self.ends is None:
            return offsets
        starts = np.append(self.starts, self.length)[offsets[:, 0]]
        ends = np.insert(self.ends, 0, 0)[offsets[:, 1]]
        empty = offsets[:, 0] == offsets[:, 1]
        return np.stack([starts, np.where(empty, starts, ends)], axis=1)


def readable(text: str) -> Readable:
    """Repair a text; it raises no error, whatever the text.

    - mojibake (`â€“` for –) in every encoding that ftfy knows, also when it was decoded twice
    - HTML entities: named, decimal, hexadecimal, escaped twice; without `;` only where no word of a
      text can be meant: `R&D` and `AT&T` stay
    - zero-width and other invisible characters, which vanish; joiners stay within an emoji, and
      between letters of scripts that need them
    - every white space of Unicode, which becomes a space, and every line end, which becomes `\\n`
    - rare dashes (U+2010, U+2212, full-width and others), which become `-`; – and — stay
    - full-width, half-width and presentation forms, ligatures (ﬁ), mathematical letters, radicals
    - control characters, lone surrogates, bullets of symbol fonts; and Unicode NFC

    The result needs no repair: readable(readable(x).text).text == readable(x).text. Text in ASCII
    without an entity or a control character comes back as it is, after one search. Ours.

    >>> readable("Jan 2015 &ndash; Mar\\u00a02019").text
    'Jan 2015 – Mar 2019'
    """
    if text.isascii() and _ASCII_TO_REPAIR.search(text) is None:
        return Readable(text, len(text))
    repaired = text
    starts, ends = np.arange(len(text)), np.arange(1, len(text) + 1)
    repairs: Counter[str] = Counter()
    for _ in range(MOST_PASSES):
        before = repaired
        for find in (_entities, _mojibake, character_edits, _composition):
            named = find(repaired)
            repairs.update(kind for kind, _ in named)
            repaired, starts, ends = _apply(repaired, starts, ends, [edit for _, edit in named])
        if repaired == before:
            break
    if repaired == text:
        return Readable(text, len(text))
    if len(starts):
        starts[0] = 0
        ends = np.maximum(ends, np.append(starts[1:], len(text)))
    return Readable(repaired, len(text), starts, ends, dict(repairs))


def _entities(text: str) -> list[tuple[str, Edit]]:
    return [("entities", edit) for edit in entity_edits(text)]


def _mojibake(text: str) -> list[tuple[str, Edit]]:
    return [("mojibake", edit) for edit in mojibake_edits(text)]


def _composition(text: str) -> list[tuple[str, Edit]]:
    return [("composition", edit) for edit in composition_edits(text)]


def _apply(
    text: str, starts: np.ndarray, ends: np.ndarray, edits: Sequence[Edit]
) -> tuple[str, np.ndarray, np.ndarray]:
    """The text after the edits, and where its characters were."""
    if not edits:
        return text, starts, ends
    parts, last = [], 0
    times = np.ones(len(text), dtype=np.int64)
    ends = ends.copy()
    for start, end, new in edits:
        parts += [text[last:start], new]
        times[start:end] = 0
        times[start] = len(new)
        ends[start] = ends[end - 1]
        last = end
    return "".join([*parts, text[last:]]), np.repeat(starts, times), np.repeat(ends, times)
