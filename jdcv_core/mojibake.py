"""Text that was decoded with the wrong encoding, such as `â€“` for a dash, and what it should be.

`ftfy` decides what is such text and finds the encodings. It works on whole lines: one real `é` can
keep it from decoding a line, and it gives no offsets. So it is asked here for each run of
characters that are not ASCII, with a few ASCII characters around it, and its steps are followed
character by character. Source: ftfy (Speer 2019); the rest is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

Edit = tuple[int, int, str]
"""text[start:end] becomes the string."""

CONTEXT = 3
"""ASCII characters around a run that ftfy sees, too."""

_PLAIN = "\x00-\x7f\u0391-\u03c9\u0410-\u044f\u0600-\u1fff\u3000-\uefff\uff00-\uffee"
_SUSPECT = re.compile(rf"[^{_PLAIN}][^\x00-\x7f]|[^\x00-\x7f][^{_PLAIN}]|[\x80-\x9fŒœÃÂ]")
"""Every mojibake has two neighbours that are not ASCII, one of them no other letter, or these."""
_RUN = re.compile(r"[^\x00-\xa0\xad][^\x00-\x7f]*")
"""No mojibake begins with one of those: their bytes continue a character."""
_RUNS = re.compile(r"[^\x00-\xa0\xad][^\x00-\x7f]*(?:[ ?][^\x00-\x7f]+)*")
"""Runs with single spaces between them: a space may have been a byte A0."""
_ASCII_BEFORE, _ASCII_AFTER = re.compile(r"[\x00-\x7f]*\Z"), re.compile(r"[\x00-\x7f]*")
_LIKELY = re.compile(
    "[\xa0-\u017f\u0192\u0218-\u021b\u02c6\u02da\u02dc\u0300-\u036f\u0370-\u03ff\u0401-\u045f"
    "\u0490\u0491\u05d0-\u05ea\u0621-\u064a\u0660-\u0669\u0900-\u0d7f\u0e01-\u0e5b\u1e00-\u1eff"
    "\u2000-\u2bff\u3001-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uf020-\uf0ff\ufeff-\ufffd"
    "\U0001f000-\U0001faff]"
)
"""Characters of which a repair must give one. `”é` is valid UTF-8 in Mac Roman, but it is glued
French, and what it would decode to is a letter of Khanty."""
_MARKS = (
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2018\u2019\u201c\u201d"
    "\u2022\u2026\u20ac\u2122\u2212\uf0b7\uf0a7"
)
_ENCODINGS = (
    *(
        "cp1252",
        "cp1250",
        "mac-roman",
        "cp437",
        "cp850",
        "cp852",
        "cp866",
        "koi8-r",
        "cp1251",
        "cp1253",
    ),
    *("cp1255", "cp1257"),
)
"""Those in which a mark becomes three characters that are unmistakable, even where ftfy is
cautious (`ΓÇô`, `â„¢` alone)."""

_LETTERS = "éáíóúñüäöàèçâêîôûãõùëïåøìòæýÿ"
"""By how common they are: `Ăą` is ñ in ISO 8859-2 and ù in Windows-1250."""
_LETTER_ENCODINGS = (
    *("iso-8859-2", "cp1250", "mac-roman", "cp437", "cp850", "cp852", "mac-latin2", "cp1257"),
)
"""Those in which two characters for a letter are unmistakable behind a small letter (`M√§rz`)."""
_SHOUTED = {"“": "–", "”": "—", '"': "–", "™": "’", "˜": "‘", "Œ": "“", "¢": "•", "¦": "…"}
_SHOUTED_ONE = re.compile(f"Â€[{''.join(_SHOUTED)}]")
"""`â€“` in a heading that was set in capitals later."""


def mojibake_edits(text: str) -> list[Edit]:
    """What makes the text right, in order and without overlaps; one step if it was decoded twice.

    >>> mojibake_edits("Jan 2015 â€“ Mar 2019".replace("–", "“"))
    [(9, 12, '–')]
    """
    if _SUSPECT.search(text) is None:
        return []
    edits = [(m.start(), m.end(), _SHOUTED[m[0][-1]]) for m in _SHOUTED_ONE.finditer(text)]
    if edits:
        return edits
    from ftfy.badness import is_bad

    found: set[str] = set()
    edits = list(_decoded(text, found)) if is_bad(text) else []
    if not edits:
        known, first, strings = _known_strings()
        for place in first.finditer(text):
            if m := strings.match(text, place.start()):
                mark, encoding = known[m[0]]
                edits.append((m.start(), m.end(), mark))
                found.add(encoding)
    return sorted([*edits, *_like_the_others(text, edits, found)])


@lru_cache(1)
def _known_strings() -> tuple[dict[str, tuple[str, str]], re.Pattern[str], re.Pattern[str]]:
    """What a mark or a letter becomes → itself, and the encoding that made it so; the pattern of
    its first character, and of all."""
    straight = {'â€"': ("–", "cp1252"), "â€'": ("–", "cp1252")}  # made straight later
    known, letters = straight | _wrong(_MARKS, _ENCODINGS), _wrong(_LETTERS, _LETTER_ENCODINGS)
    letters.pop("Ăź")  # ü in ISO 8859-2, ß in Windows-1250, and both are common
    marks, pairs = ("|".join(map(re.escape, own)) for own in (known, letters))
    both = known | letters
    first = re.compile(f"[{''.join(sorted({string[0] for string in both}))}]")
    inside = f"(?<=[a-z])(?:{pairs})|(?<=[A-Z])(?:{pairs})(?=[a-z])"
    return both, first, re.compile(f"{marks}|{inside}")


def _wrong(characters: str, encodings: Iterable[str]) -> dict[str, tuple[str, str]]:
    """What UTF-8 becomes when it is decoded so → the character and the encoding; first come."""
    found: dict[str, tuple[str, str]] = {}
    for character in characters:
        for encoding in encodings:
            wrong = character.encode().decode(encoding, "replace")
            if "\ufffd" not in wrong:
                found.setdefault(wrong, (character, encoding))
    return found


def _decoded(text: str, found: set[str]) -> Iterator[Edit]:
    """What ftfy decodes, run by run. found: gets the encodings that explained a whole run."""
    last = 0
    for runs in _RUNS.finditer(text):
        edits = _one(text, max(last, runs.start()), runs.end(), last, found, whole=True)
        for run in () if edits else _RUN.finditer(text, runs.start(), runs.end()):
            before = edits[-1][1] if edits else last
            edits += _one(text, max(before, run.start()), run.end(), before, found)
        if edits:
            last = edits[-1][1]
            yield from edits


def _one(
    text: str, start: int, end: int, floor: int, found: set[str], whole: bool = False
) -> list[Edit]:
    """What ftfy makes of text[start:end] and the ASCII characters around it, none before `floor`.

    whole: only a result that comes from decoding all of it
    """
    from ftfy import fix_encoding_and_explain
    from ftfy.badness import is_bad

    if start >= end:
        return []
    before = _ASCII_BEFORE.search(text[max(floor, start - CONTEXT) : start])
    after = _ASCII_AFTER.match(text[end : end + CONTEXT])
    assert before is not None
    assert after is not None
    first = start - len(before[0])
    old = text[first : end + len(after[0])]
    if not is_bad(old):
        return []
    new, steps = fix_encoding_and_explain(old)
    steps = steps or []
    pure = all(step.action != "apply" for step in steps)
    if new == old or whole and not pure:
        return []
    edits = _aligned(first, old, new, steps)
    if _LIKELY.search("".join(edit[2] for edit in edits)) is None:
        return []
    if steps and steps[0].action == "encode" and steps[-1].parameter.startswith("utf-8"):
        found.add(steps[0].parameter)
    return edits


def _aligned(at: int, old: str, new: str, steps: list) -> list[Edit]:
    """One edit for each character of `new` that decodes several of `old`, which begins at `at`."""
    spans = _followed(old, steps)
    if spans is None or len(spans) != len(new):
        spans = _spread(old, new)
    edits: list[Edit] = []
    for (start, end), character in zip(spans, new, strict=True):
        if old[start:end] == character:
            continue
        if edits and start < edits[-1][1] - at:  # several characters for one
            edits[-1] = (edits[-1][0], max(edits[-1][1], at + end), edits[-1][2] + character)
        else:
            edits.append((at + start, at + end, character))
    return edits


def _followed(old: str, steps: list) -> list[tuple[int, int]] | None:
    """Of each character after the steps, where it was; None where a step changes the length."""
    spans = [(i, i + 1) for i in range(len(old))]
    data: bytes = b""
    text = old
    for action, name in steps:
        if action == "encode":
            data = text.encode(name)
        elif action != "decode":
            return None
        else:
            text, at, merged = data.decode(name), 0, []
            for character in text:
                width = 1 if name == "windows-1252" else _width(data, at, character)
                merged.append((spans[at][0], spans[min(at + width, len(spans)) - 1][1]))
                at += width
            if at != len(data):
                return None
            spans = merged
    return spans


def _width(data: bytes, at: int, character: str) -> int:
    """The bytes of a character in UTF-8 and its variants (surrogate pairs, a long NUL)."""
    if character > "\uffff":
        return 6 if data[at] == 0xED else 4
    return 2 if data[at] == 0xC0 else len(character.encode("utf-8", "surrogatepass"))


def _spread(old: str, new: str) -> list[tuple[int, int]]:
    """Of each character of `new`, where it was: equal ends as they are, the rest in proportion."""
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    rest = shorter - head
    tail = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
    if head + tail == len(new):  # characters went: they belong to the next one, or the last
        head, tail = (head, tail - 1) if tail else (max(0, head - 1), 0)
    m, n = len(old) - head - tail, len(new) - head - tail
    spans = [(i, i + 1) for i in range(head)]
    spans += [(head + k * m // n, head + max(k * m // n + 1, (k + 1) * m // n)) for k in range(n)]
    return spans + [(len(old) - i, len(old) - i + 1) for i in range(tail, 0, -1)]


def _like_the_others(text: str, edits: list[Edit], found: set[str]) -> Iterator[Edit]:
    """The other runs that the same encoding explains: `pracÄ…` alone does not look bad."""
    taken = iter([*edits, (len(text), len(text), "")])
    following = next(taken)
    for run in _RUN.finditer(text):
        while following[1] <= run.start() and following[0] < len(text):
            following = next(taken)
        if following[0] < run.end():
            continue
        for encoding in sorted(found):
            steps = [("encode", encoding), ("decode", "utf-8")]
            try:
                new = run[0].encode(encoding).decode("utf-8")
            except UnicodeError:
                continue
            if _LIKELY.search(new):
                yield from _aligned(run.start(), run[0], new, steps)
                break
