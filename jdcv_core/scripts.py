"""How well a tokenizer knows the scripts of a corpus: the share of tokens that say next to nothing.

An English encoder reads Arabic letter by letter and most Chinese characters as one unknown token.
Its vectors of such a text are nearly the same, whatever the text says. Ours.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np

NAMES = (
    *("Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari", "Thai", "Han", "Kana"),
    *("Hangul", "other"),
)
_RANGES = (
    *(("Latin", 0x41, 0x5A), ("Latin", 0x61, 0x7A), ("Latin", 0xC0, 0x24F)),
    *(("Latin", 0x250, 0x2AF), ("Latin", 0x1E00, 0x1EFF)),
    *(("Cyrillic", 0x400, 0x52F), ("Cyrillic", 0x1C80, 0x1C8F), ("Cyrillic", 0xA640, 0xA69F)),
    *(("Greek", 0x370, 0x3FF), ("Greek", 0x1F00, 0x1FFF)),
    *(("Arabic", 0x610, 0x61A), ("Arabic", 0x620, 0x65F), ("Arabic", 0x66E, 0x6D3)),
    *(("Arabic", 0x6D5, 0x6EF), ("Arabic", 0x6FA, 0x6FF), ("Arabic", 0x750, 0x77F)),
    *(("Arabic", 0x8A0, 0x8FF), ("Arabic", 0xFB50, 0xFEFC)),
    *(("Hebrew", 0x591, 0x5F4), ("Hebrew", 0xFB1D, 0xFB4F)),
    *(("Devanagari", 0x900, 0x963), ("Devanagari", 0x971, 0x97F)),
    *(("Thai", 0xE01, 0xE3A), ("Thai", 0xE40, 0xE4E)),
    *(("Han", 0x3005, 0x3007), ("Han", 0x3400, 0x4DBF), ("Han", 0x4E00, 0x9FFF)),
    *(("Han", 0xF900, 0xFAFF), ("Han", 0x20000, 0x3FFFF)),
    *(("Kana", 0x3041, 0x3096), ("Kana", 0x309D, 0x309F), ("Kana", 0x30A1, 0x30FA)),
    *(("Kana", 0x30FC, 0x30FF), ("Kana", 0x31F0, 0x31FF)),
    *(("Hangul", 0x1100, 0x11FF), ("Hangul", 0x3131, 0x318E), ("Hangul", 0xA960, 0xA97F)),
    ("Hangul", 0xAC00, 0xD7FF),
)
"""Letters and marks; what is in no range is a letter of an other script, or none."""
_SYLLABIC = [NAMES.index(name) for name in ("Han", "Hangul")]
"""One character is a syllable or a word here, so that one token is enough for it."""

MOST_UNFIT = 0.5
"""Above this share of tokens an encoder does not fit a script. Measured on texts in 18 languages
(docs/data.md): at most 0.45 where a tokenizer knows a script, at least 0.61 where it does not."""
LEAST_SHARE = 0.2
"""A document is written in a script if a fifth of its letters are."""


@lru_cache(1)
def _starts() -> tuple[np.ndarray, np.ndarray]:
    """Where each range of characters begins, and the place of its script in NAMES or -1."""
    edges: dict[int, int] = {0: -1}
    for name, first, last in _RANGES:
        edges[first] = NAMES.index(name)
        edges.setdefault(last + 1, -1)
    places = sorted(edges)
    return np.array(places), np.array([edges[place] for place in places])


def scripts_of(text: str) -> np.ndarray:
    """Of each character the place of its script in NAMES, or -1 for no letter: int [character].

    >>> [NAMES[i] for i in scripts_of("a–Ж語") if i >= 0]
    ['Latin', 'Cyrillic', 'Han']
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    starts, numbers = _starts()
    found = numbers[np.searchsorted(starts, codes, side="right") - 1]
    for at in np.flatnonzero((found < 0) & (codes > 0x7F)):
        if text[at].isalpha():
            found[at] = len(NAMES) - 1
    return found


class ScriptCounts:
    """Counts the tokens of each script while documents are cut; `report` is their summary.

    A token belongs to the script of its first letter, and is unfit if it is

    - unknown: the tokenizer's own token for what it does not know
    - single:  one letter, beside another such token, of a word that is spelled out (not in Han and
               Hangul, where one character says more); or less than a character, as the bytes of
               GPT-2 and of SentencePiece and the parts of Korean syllables

    tokenizer: a `tokenizers.Tokenizer`, or a fast tokenizer of transformers
    """

    def __init__(self, tokenizer: Any) -> None:
        self.unknown = _unknown_id(tokenizer)
        self.documents: dict[str, np.ndarray] = {}
        """By document id: letters, tokens, unknown, single of each script: int [4, script]."""

    def add(self, document: str, text: str, ids: Any, offsets: Any) -> None:
        """Count the tokens of a text. offsets: [token, 2], their characters in the text."""
        scripts = scripts_of(text)
        if not len(ids) or not len(scripts):
            return
        letter = scripts >= 0
        spans = np.asarray(offsets, dtype=np.int64)
        first = np.minimum(spans[:, 0], len(text) - 1)
        last = np.maximum(spans[:, 1], first + 1)
        after = np.minimum.accumulate(np.where(letter, np.arange(len(text)), len(text))[::-1])[
            ::-1
        ]  # the letter at or after a character
        place = after[first]
        has = place < last
        place = np.where(has, place, 0)
        script = scripts[place]
        before = np.append(0, np.cumsum(letter))
        neighbour = np.append(letter[1:], False) | np.append(False, letter[:-1])
        alone = has & (before[last] - before[first] == 1) & neighbour[place]
        alone &= ~np.isin(script, _SYLLABIC)
        both = alone[:-1] & alone[1:] & (np.abs(place[1:] - place[:-1]) <= 1)
        shared = last[:-1] > first[1:]
        spelled = both | shared
        unknown = np.asarray(ids) == self.unknown
        single = (np.append(spelled, False) | np.append(False, spelled)) & ~unknown
        of = [scripts[letter], script[has], script[has & unknown], script[has & single]]
        own = self.documents.setdefault(document, np.zeros((4, len(NAMES)), dtype=np.int64))
        own += np.array([np.bincount(kind, minlength=len(NAMES)) for kind in of])

    def report(self, documents: Collection[str]) -> dict[str, Any]:
        """Plain values for a record.

        documents: their ids; a part of one is called `ID#NUMBER`

        `scripts`: by name, of each script that occurs: documents (that are written in it), tokens,
        and the shares of tokens that are unknown, single and unfit (either). `unfit_share`: the
        share of the corpus's letters that stand in scripts above MOST_UNFIT.
        """
        whole: dict[str, np.ndarray] = {}
        for name, counts in self.documents.items():
            owner = name if name in documents else name.rpartition("#")[0]
            whole[owner] = whole.get(owner, 0) + counts
        each = np.array([*whole.values()]).reshape(-1, 4, len(NAMES))
        letters, tokens, unknown, single = each.sum(0)
        written = each[:, 0] >= LEAST_SHARE * np.maximum(1, each[:, 0].sum(1, keepdims=True))
        written &= each[:, 0] > 0
        found = {}
        for at in np.flatnonzero(tokens):
            found[NAMES[at]] = {
                "documents": int(written[:, at].sum()),
                "tokens": int(tokens[at]),
                "unknown": round(float(unknown[at] / tokens[at]), 4),
                "single": round(float(single[at] / tokens[at]), 4),
                "unfit": round(float((unknown[at] + single[at]) / tokens[at]), 4),
            }
        blind = letters[unknown + single > MOST_UNFIT * tokens].sum() / max(1, letters.sum())
        return {"scripts": found, "unfit_share": round(float(blind), 4)}


def _unknown_id(tokenizer: Any) -> int:
    """The id of the unknown token; -1 without one."""
    inner = getattr(tokenizer, "backend_tokenizer", tokenizer)
    name = getattr(getattr(inner, "model", None), "unk_token", None)
    for token in (name, "<unk>", "[UNK]"):
        number = inner.token_to_id(token) if token and hasattr(inner, "token_to_id") else None
        if number is not None:
            return int(number)
    return -1


def unfit_scripts(report: dict[str, Any], encoder: str, documents: int) -> list[str]:
    """A sentence on each script that an encoder does not know, for a person.

    report:    of `ScriptCounts`
    encoder:   its name
    documents: how many there are

    >>> one = {"documents": 12, "tokens": 900, "unknown": 0.6, "single": 0.16, "unfit": 0.76}
    >>> unfit_scripts({"scripts": {"Han": one}}, "gpt2", 40)[0][:75]
    'encoder gpt2 does not know 76% of the tokens in Han script (12 of 40 docume'
    """
    return [
        f"encoder {encoder} does not know {own['unfit']:.0%} of the tokens in {name} script "
        f"({own['documents']} of {documents} documents): it compares them almost blindly. Use a "
        "multilingual encoder: encoder=sentence-transformer encoder.path=FOLDER, or --model with a "
        "model that was trained on one"
        for name, own in report.get("scripts", {}).items()
        if own["unfit"] > MOST_UNFIT and own["documents"]
    ]
