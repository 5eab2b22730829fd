"""An RTF file → its lines. Ours.

By striprtf (BSD-3-Clause, release 0.0.35). What the file hides is marked before striprtf reads it,
because striprtf knows no hidden text.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from striprtf.striprtf import rtf_to_text

from jdcv_core.data.documents.assembly import assemble
from jdcv_core.data.documents.file_text import (
    WAYS,
    FileText,
    HiddenMode,
    Limits,
    Piece,
    RawLine,
)
from jdcv_core.data.documents.refused import Refused

TOKEN = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-f]{2})|\\([^a-z])|([{}])|[^\\{}]+", re.I
)
WHITE = re.compile(r"\\red255\s*\\green255\s*\\blue255\s*$")
TINY = 4
"""Half points; smaller text is hidden."""


@dataclass(frozen=True)
class _State:
    """What a group says of its text. hidden: \\v; colour: its index; size: half points; filled:
    whether it has a background; skipped: it is no text, but a table of fonts or the like"""

    hidden: bool = False
    colour: int = 0
    size: int = 24
    filled: bool = False
    skipped: bool = False


def read_rtf(data: bytes, hidden: HiddenMode, limits: Limits) -> FileText:
    """The text of an RTF file. Raises Refused for one that is damaged, too deep or without text."""
    source = data.lstrip(b"\xef\xbb\xbf \r\n\t").decode("latin-1")
    # Around hidden text, with the index of its way. It is plain letters, so that any RTF reader
    # keeps it, and random, so that no file can hold it.
    mark = f"!~{secrets.token_hex(8)}~{{}}~!"
    try:
        text = rtf_to_text("".join(_marked(source, limits.nesting, mark)), errors="replace")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Refused("it is a damaged RTF", "save it again, or as text (.txt)") from error
    lines = [RawLine(tuple(_pieces(line, mark))) for line in text.split("\n")]
    read = assemble("RTF", lines, hidden)
    if not read.text.strip():
        what = "all its text is hidden" if read.hidden else "it has no text"
        raise Refused(what, "open it in a writer, and save what you see as text (.txt)")
    return read


def _marked(source: str, nesting: int, form: str) -> Iterator[str]:
    """The source with marks around hidden text."""
    table = re.search(r"\\colortbl([^}]*)", source)
    white = {
        at for at, colour in enumerate(table[1].split(";") if table else []) if WHITE.search(colour)
    }
    stack = [_State()]
    for token in TOKEN.finditer(source):
        word, number, code, sign, brace = token.groups()
        state = stack[-1]
        if brace == "{":
            stack.append(state)
            if len(stack) > nesting:
                raise Refused(f"it is nested more than {nesting} times", "save it as text (.txt)")
        elif brace == "}":
            stack = stack[:-1] or [_State()]
        elif word:
            stack[-1] = _after(state, word.lower(), number)
        elif sign == "*":
            stack[-1] = replace(state, skipped=True)
        elif token[0].strip("\r\n") and not sign:
            way = "" if state.skipped else _way(state, white)
            if way:
                mark = form.format(list(WAYS).index(way))
                yield f"{mark}{token[0]}{mark}"
                continue
        yield token[0]


def _after(state: _State, word: str, number: str | None) -> _State:
    """The state after a control word."""
    value = int(number) if number else None
    if word == "v":
        return replace(state, hidden=value != 0)
    if word == "plain":
        return _State(skipped=state.skipped)
    if word == "cf":
        return replace(state, colour=value or 0)
    if word == "fs":
        return replace(state, size=24 if value is None else value)
    if word in ("cb", "chcbpat", "highlight", "cbpat"):
        return replace(state, filled=bool(value))
    if word in ("fonttbl", "colortbl", "stylesheet", "info", "pict"):
        return replace(state, skipped=True)
    return state


def _way(state: _State, white: set[int]) -> str:
    if state.hidden:
        return "marked hidden"
    if state.size < TINY:
        return "tiny"
    return "background colour" if state.colour in white and not state.filled else ""


def _pieces(line: str, mark: str) -> Iterator[Piece]:
    """The pieces of a line; between two marks is hidden text."""
    parts = re.split(mark.format(r"(\d)"), line)
    for at, part in enumerate(parts):
        if part and at % 2 == 0:
            inside = at % 4 == 2
            yield Piece(part, list(WAYS)[int(parts[at - 1])] if inside else "")
