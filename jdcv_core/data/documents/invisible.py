"""Characters that no one sees and that can spell a message, in text of any format. Ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jdcv_core.data.documents.file_text import Piece

ZERO_WIDTH = "\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff\u180e"
RUN = 8
"""Characters without width in a series, that no writing system needs; a letter takes eight bits."""
FLAG = "\U0001f3f4"
"""A black flag: tag characters behind it name a region and are seen as its flag."""
_UNSEEN = re.compile(
    rf"(?P<flag>{FLAG}[\U000e0020-\U000e007e]{{1,7}}\U000e007f)"
    r"|(?P<tags>[\U000e0000-\U000e007f]+)"
    rf"|(?P<zero>[{ZERO_WIDTH}]{{{RUN},}}|[\U000e0100-\U000e01ef\ufe00-\ufe0f]{{2,}})"
)


def revealed(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces of a line, with invisible characters as hidden pieces.

    Tag characters are given as the ASCII text that they spell.

    >>> [p.text for p in revealed([Piece("Ada \\U000e0068\\U000e0069")])]
    ['Ada ', 'hi']
    >>> revealed([Piece("plain")])
    (Piece(text='plain', way='', box=None),)
    """
    found: list[Piece] = []
    for piece in pieces:
        if piece.way or piece.text.isascii():
            found.append(piece)
            continue
        last = 0
        for hit in _UNSEEN.finditer(piece.text):
            if hit["flag"]:
                continue
            if hit.start() > last:
                found.append(Piece(piece.text[last : hit.start()], "", piece.box))
            way = "tag characters" if hit["tags"] else "zero-width"
            spelled = "".join(chr(ord(c) - 0xE0000) for c in hit[0]) if hit["tags"] else hit[0]
            found.append(Piece(spelled, way, piece.box))
            last = hit.end()
        if last < len(piece.text):
            found.append(Piece(piece.text[last:], "", piece.box))
    return tuple(found)
