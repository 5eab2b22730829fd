"""Repairs of text besides mojibake: HTML entities, invisible and unusual characters, composition.

Each function returns the edits that it would make, in order and without overlaps. Ours.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from jdcv_core.mojibake import Edit

_ACCENTED = r"[A-Za-z](?:acute|grave|tilde|uml|cedil)"
_ENTITY = re.compile(
    r"&(?:(?i:amp);)*(?:"
    r"(?P<number>#(?:[0-9]{1,7}|[xX][0-9a-fA-F]{1,6}))(?:;|(?![0-9A-Za-z;]))"
    r"|(?P<name>[A-Za-z][A-Za-z0-9]{1,30});"
    rf"|(?P<open>nbsp|[nm]dash|[lr][sd]quo|hellip|bull|middot|{_ACCENTED}|szlig"
    r"|(?:amp|lt|gt|quot|[A-Za-z](?:circ|ring|slash))(?![A-Za-z0-9=])"
    r"|(?:pound|euro|yen|cent)(?=[0-9])))"
)
"""With `;` any name of HTML 5. Without it only numbers, and names that begin no English word."""
_SHORT = {"lt", "gt", "LT", "GT", "pi", "mu", "ne", "le", "ge", "pm"}
"""Names of two letters that are taken; others (`&it;`, `&or;`) may be words between ampersands."""

Table = dict[str, str]
_COMMON_DASHES = "-–—"
_JOINING = "\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\ua800-\uabff"
_PICTURE = "©®\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_KEPT = (
    "\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f"  # a flag
    f"|(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])"
    f"|(?<=[{_PICTURE}\ufe0f])\u200d(?=[{_PICTURE}])"
    f"|(?<=[{_PICTURE}])[\ufe0e\ufe0f]|(?<=[0-9#*])\ufe0f(?=\u20e3)"
)
"""Joiners and selectors that change what is read."""
_BOX = "\u2500-\u257f"
_LONE_LINE = f"(?<![{_BOX}])[─━](?![{_BOX}])"
"""A piece of a table's frame that stands for a dash."""


def entity_edits(text: str) -> list[Edit]:
    """HTML entities as the characters they stand for, however often `&` was escaped.

    >>> entity_edits("R&D, AT&T, 2015 &amp;ndash; 2019")
    [(16, 27, '–')]
    """
    edits = []
    for m in _ENTITY.finditer(text) if "&" in text else ():
        character = _entity(m)
        if character is not None:
            edits.append((m.start(), m.end(), character))
    return edits


def _entity(m: re.Match[str]) -> str | None:
    if m["number"]:
        return html.unescape(f"&{m['number']};")
    name = m["name"] or m["open"]
    if len(name) == 2 and name not in _SHORT:
        return None
    written = f"&{name};"
    character = html.unescape(written)
    if character == written:
        from ftfy.fixes import unescape_html  # knows &EACUTE; of a heading in capitals

        character = unescape_html(written)
    return None if "&" in character and ";" in character else character


@lru_cache(1)
def character_tables() -> dict[str, Table]:
    """Kind of repair → character → what is put in its place."""
    every = [chr(i) for i in range(0x11000) if not 0xD800 <= i < 0xE000]
    dashes = [c for c in every if unicodedata.category(c) == "Pd" and c not in _COMMON_DASHES]
    spaces = [c for c in every if unicodedata.category(c) == "Zs" and c != " "]
    invisible = (
        "\x00\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
        "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a"
        "\U000e0000-\U000e007f\U000e0100-\U000e01ef"
    )
    forms = (
        "\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\u2e80-\u2fdf\ufb00-\ufdff\ufe70-\ufefc"
        "\uff01-\uffee\U0001d400-\U0001d7ff"
    )
    plain = {c: unicodedata.normalize("NFKC", c) for c in _expanded(forms)}
    controls = [c for c in map(chr, (*range(1, 32), 127)) if c not in "\t\n\r\v\f\x1e"]
    c1 = {chr(i): bytes([i]).decode("cp1252", "replace") for i in range(0x80, 0xA0)}
    return {
        "dashes": dict.fromkeys([*dashes, *"\u02d7\u2212\u2043\uf02d\x1e─━"], "-"),
        "spaces": dict.fromkeys([*spaces, "\u2800", "\u3164", "\ufffc"], " "),
        "line ends": dict.fromkeys(["\r\n", *"\r\v\f\x85\u2028\u2029"], "\n"),
        "invisible": dict.fromkeys(_expanded(invisible), ""),
        "controls": dict.fromkeys(controls, " ")
        | {c: " " if new == "\ufffd" else new for c, new in c1.items() if c != "\x85"},
        "forms": {c: new for c, new in plain.items() if new != c and new[0] != " "},
        "bullets": dict.fromkeys("\uf0b7\uf0a7\uf0d8\uf0fc\uf076", "•"),
        "surrogates": dict.fromkeys(map(chr, range(0xD800, 0xE000)), "\ufffd"),
    }


@lru_cache(1)
def _characters() -> tuple[dict[str, tuple[str, str]], re.Pattern[str], re.Pattern[str]]:
    """Character → kind and replacement; the pattern that finds them fast; what is there really."""
    found = {c: (kind, new) for kind, own in character_tables().items() for c, new in own.items()}
    single = _class(c for c in found if len(c) == 1)
    there = f"(?P<kept>{_KEPT})|(?P<pair>[\ud800-\udbff][\udc00-\udfff])|\r\n|{_LONE_LINE}"
    others = _class(c for c in found if len(c) == 1 and c not in "─━")
    return found, re.compile(f"[{single}\U0001f3f4]"), re.compile(f"{there}|[{others}]")


def character_edits(text: str) -> list[tuple[str, Edit]]:
    """Kind of repair and edit, for each character that has no place in readable text.

    >>> character_edits("Jan 2015\\u00a0‑ Mar")
    [('spaces', (8, 9, ' ')), ('dashes', (9, 10, '-'))]
    """
    known, candidate, there = _characters()
    edits = []
    last = 0
    for place in candidate.finditer(text):
        m = there.match(text, place.start()) if place.start() >= last else None
        if m is None:
            continue
        last = m.end()
        if m["pair"]:
            joined = m[0].encode("utf-16", "surrogatepass").decode("utf-16")
            edits.append(("surrogates", (m.start(), last, joined)))
        elif not m["kept"]:
            kind, new = known[m[0]]
            edits.append((kind, (m.start(), last, new)))
    return edits


_NOT_ASCII = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")


def composition_edits(text: str) -> list[Edit]:
    """Unicode NFC, for each letter with its marks that is not in that form."""
    if unicodedata.is_normalized("NFC", text):
        return []
    edits = []
    for run in _NOT_ASCII.finditer(text):
        if unicodedata.is_normalized("NFC", run[0]):
            continue
        parts = list(_clusters().finditer(run[0]))
        composed = [unicodedata.normalize("NFC", part[0]) for part in parts]
        if "".join(composed) != unicodedata.normalize("NFC", run[0]):
            edits.append((run.start(), run.end(), unicodedata.normalize("NFC", run[0])))
            continue
        for part, new in zip(parts, composed, strict=True):
            if part[0] != new:
                edits.append(_shortest(run.start() + part.start(), part[0], new))
    return edits


def _shortest(at: int, old: str, new: str) -> Edit:
    """The edit without the marks at the end that stay."""
    same = 0
    while same < min(len(old), len(new)) - 1 and old[-1 - same] == new[-1 - same]:
        same += 1
    return at, at + len(old) - same, new[: len(new) - same]


@lru_cache(1)
def _clusters() -> re.Pattern[str]:
    """A character and the marks or jamo that follow it."""
    every = (chr(i) for i in range(0x20000) if not 0xD800 <= i < 0xE000)
    marks = _class(
        c for c in every if unicodedata.category(c)[0] == "M" or "\u1160" <= c < "\u1200"
    )
    return re.compile(f"(?s:.)[{marks}]*")


def _class(characters: Iterable[str]) -> str:
    """The inside of a character class of a regular expression, with ranges."""
    parts: list[list[int]] = []
    for code in sorted(set(map(ord, characters))):
        if parts and code == parts[-1][1] + 1:
            parts[-1][1] = code
        else:
            parts.append([code, code])
    return "".join(
        re.escape(chr(a)) if a == b else f"{re.escape(chr(a))}-{re.escape(chr(b))}"
        for a, b in parts
    )


def _expanded(ranges: str) -> list[str]:
    """`a-cx` → a, b, c, x."""
    found = []
    for m in re.finditer(r"(.)(?:-(.))?", ranges, re.DOTALL):
        found += [chr(i) for i in range(ord(m[1]), ord(m[2] or m[1]) + 1)]
    return found
