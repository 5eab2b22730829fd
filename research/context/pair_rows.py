"""How a JD and a CV become one row of tokens: what each block sees, and where vectors are read.

    shared prefix   [JD | chunk 1 | chunk 2 | ...]             a chunk sees the JD and itself
    with a reader   [JD | chunk 1 | chunk 2 | ... | JD again]  the last block sees everything
    long row        [JD | the whole CV]                        a token sees the JD and a window

Sources: papers/context.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import Protocol, runtime_checkable

import numpy as np

from jdcv_core.encoding.row_layout import RowLayout, long_row, shared_prefix
from jdcv_core.errors import InputError, nearest

Chunks = Sequence[tuple[int, ...]]
"""The token ids of each chunk of a document."""
Span = tuple[int, int]
"""The first token of a part of a row, and the token after its last one."""
POSITIONS = ("restart", "interpolated", "dropped")


@dataclass(frozen=True)
class PairRow:
    """The row of one pair.

    ids:    the tokens of the row
    layout: its blocks, who sees whom, and positions
    jd, cv: the tokens over which the vector of each JD chunk and of each CV chunk is pooled
    """

    ids: tuple[int, ...]
    layout: RowLayout
    jd: tuple[Span, ...]
    cv: tuple[Span, ...]


@runtime_checkable
class Reading(Protocol):
    """How an encoder reads a pair: a frozen value that a row of a table carries."""

    def row(self, jd: Chunks, cv: Chunks, window: int) -> PairRow:
        """Lay out a pair. window: number of positions that the encoder was trained with."""


@dataclass(frozen=True)
class SharedPrefix:
    """[JD | chunk | chunk | ...]: each CV chunk sees the JD and itself. The positions of every
    chunk continue those of the JD, so that a CV of any length fits.

    reader: whether the JD follows once more, sees everything, and gives the JD's vectors. No chunk
            sees it
    blind:  whether the chunks do not see the JD. This is a falsifier: the same row, another mask
    most:   number of CV tokens that are read; the rest of the CV is cut. None reads all of it

    A JD that leaves no room for the longest chunk is cut at its end. The vectors of a chunk equal
    those of a separate pass over [JD, chunk], at the cost of P + sum of C tokens instead of the sum
    of (P + C). They depend neither on the order of the chunks nor on the other chunks.
    Raises ValueError if a chunk is as long as the window.

    >>> row = SharedPrefix().row(jd=[(7, 8)], cv=[(1, 2, 3), (4,)], window=16)
    >>> row.ids, row.jd, row.cv
    ((7, 8, 1, 2, 3, 4), ((0, 2),), ((2, 5), (5, 6)))
    >>> row.layout.positions.tolist()
    [0, 1, 2, 3, 4, 2]
    """

    reader: bool = False
    blind: bool = False
    most: int | None = None

    def row(self, jd: Chunks, cv: Chunks, window: int) -> PairRow:
        cv = cv if self.most is None else cut(cv, self.most)
        lengths = [len(chunk) for chunk in cv]
        jd = cut(jd, window - max(lengths))
        prefix = sum(map(len, jd))
        blocks = list(shared_prefix(prefix, lengths, prefix if self.reader else 0).blocks)
        if self.blind:
            blocks[1 : 1 + len(cv)] = [replace(b, sees=()) for b in blocks[1 : 1 + len(cv)]]
        parts = [*jd, *cv]
        if self.reader:
            blocks[-1] = replace(blocks[-1], start=min(blocks[-1].start, window - prefix))
            parts += jd
        spans = spans_of(parts)
        asked = spans[-len(jd) :] if self.reader else spans[: len(jd)]
        found = spans[len(jd) : len(jd) + len(cv)]
        return PairRow(tuple(chain(*parts)), RowLayout(tuple(blocks)), asked, found)


@dataclass(frozen=True)
class LongRow:
    """[JD | the whole CV]: a CV token sees the JD and the last `attend` tokens of the CV.

    attend:    number of CV tokens that a token sees, itself included
    positions: "restart":      after the encoder's last position, the CV continues with the first
                               position after the JD
               "interpolated": positions go up; `positions.stretch` gives the encoder more of them
               "dropped":      the encoder has none (`positions.drop`)
    shuffled:  whether the chunks of the CV are in random order, the same in training and test (a
               falsifier)

    A JD of more than half the window is cut at its end. The vector of a chunk is pooled over its
    tokens. Raises InputError for an unknown treatment of positions.

    >>> row = LongRow(attend=2).row(jd=[(7,)], cv=[(1, 2), (3,)], window=3)
    >>> row.layout.positions.tolist(), row.cv
    ([0, 1, 2, 1], ((1, 3), (3, 4)))
    """

    attend: int = 256
    positions: str = "restart"
    shuffled: bool = False

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            cure = nearest(self.positions, list(POSITIONS))
            raise InputError(f"positions={self.positions}", "there is no such treatment", cure)

    def row(self, jd: Chunks, cv: Chunks, window: int) -> PairRow:
        jd = cut(jd, window // 2)
        if self.shuffled:
            order = np.random.default_rng([len(cv), *cv[0]]).permutation(len(cv))
            cv = [cv[i] for i in order]
        prefix, length = sum(map(len, jd)), sum(map(len, cv))
        restart = window - prefix if self.positions == "restart" else None
        layout = long_row(prefix, length, self.attend, restart)
        if self.positions == "dropped":
            document = replace(layout.blocks[1], start=0, restart=1)
            layout = RowLayout((layout.blocks[0], document))
        spans = spans_of([*jd, *cv])
        return PairRow(tuple(chain(*jd, *cv)), layout, spans[: len(jd)], spans[len(jd) :])


def cut(chunks: Chunks, most: int) -> Chunks:
    """Return the first `most` tokens of a document, as chunks. Raises ValueError for `most` < 1.

    >>> cut([(1, 2, 3), (4, 5)], 4)
    [(1, 2, 3), (4,)]
    """
    if most < 1:
        raise ValueError(f"no room for a token: {most}")
    starts = [0, *accumulate(map(len, chunks))]
    return [c[: most - start] for c, start in zip(chunks, starts, strict=False) if start < most]


def spans_of(parts: Chunks) -> tuple[Span, ...]:
    """Return where each part of a row begins and ends.

    >>> spans_of([(7, 8), (1,)])
    ((0, 2), (2, 3))
    """
    ends = list(accumulate(map(len, parts)))
    return tuple(zip([0, *ends], ends, strict=False))
