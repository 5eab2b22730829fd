"""Describe a row of tokens: its blocks, which block sees which, and every token's position.

A row that holds several chunks needs a mask, so that a token sees no more than it should. This
module says what is seen; `attention_backends` computes it.

    layout             row                                a chunk sees
    packed_chunks      [chunk | chunk | ...]              itself
    shared_prefix      [JD | chunk | chunk | ... | reader]  the JD and itself
    long_row           [JD | whole CV | reader]           the JD and a window of the CV

Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Block:
    """Consecutive tokens of a row to which one rule of attention applies.

    length:  number of tokens, at least 1
    sees:    numbers of earlier blocks of the row; each token of this block sees all their tokens
    start:   position of the first token
    causal:  whether a token sees only itself and earlier tokens of its block, as in a decoder
    window:  number of tokens of this block that a token of it sees, itself included; None means
             all. Only a causal block has a window
    restart: number of tokens after which positions begin at `start` again; None means never
    """

    length: int
    sees: tuple[int, ...] = ()
    start: int = 0
    causal: bool = True
    window: int | None = None
    restart: int | None = None

    def __post_init__(self) -> None:
        for name in ("length", "window", "restart"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"a block with {name} {value}: give 1 or more")
        if self.start < 0:
            raise ValueError(f"a block that starts at position {self.start}: give 0 or more")
        if self.window is not None and not self.causal:
            raise ValueError("a block with a window must be causal")


@dataclass(frozen=True)
class RowLayout:
    """The blocks of one row, in order.

    Token t of block b sees token s of block c if
        c = b and (b is not causal, or s <= t and, with a window w, s > t - w),  or  c in b.sees.

    Raises ValueError for a row without blocks and for a block that sees itself, a later block, or
    one block twice.

    >>> layout = shared_prefix(2, [2, 1])  # JD of 2 tokens, chunks of 2 and 1
    >>> layout.positions.tolist()
    [0, 1, 2, 3, 2]
    >>> layout.visible().astype(int)
    array([[1, 0, 0, 0, 0],
           [1, 1, 0, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 1, 0],
           [1, 1, 0, 0, 1]])
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("a row needs a block")
        for number, block in enumerate(self.blocks):
            if any(not 0 <= seen < number for seen in block.sees):
                raise ValueError(f"block {number} may only see blocks before it, not {block.sees}")
            if len(set(block.sees)) < len(block.sees):
                raise ValueError(f"block {number} sees a block twice: {block.sees}")

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each block begins in the row, and the length of the row: [block + 1]."""
        return tuple(int(n) for n in np.cumsum([0, *(block.length for block in self.blocks)]))

    @property
    def length(self) -> int:
        """Number of tokens in the row."""
        return self.offsets[-1]

    @cached_property
    def positions(self) -> np.ndarray:
        """The position of every token, int64 [token]."""
        return np.concatenate(
            [b.start + np.arange(b.length) % (b.restart or b.length) for b in self.blocks]
        )

    @property
    def window(self) -> int:
        """Number of positions that a network needs for this row: the largest position + 1."""
        return max(b.start + min(b.length, b.restart or b.length) for b in self.blocks)

    def visible(self) -> np.ndarray:
        """Return what each token (first axis) sees (second axis), bool [token token]."""
        seen = np.zeros((self.length, self.length), dtype=bool)
        for block, at in zip(self.blocks, self.offsets, strict=False):
            rows = slice(at, at + block.length)
            own = np.ones((block.length, block.length), dtype=bool)
            if block.causal:
                own = np.tril(own)
            if block.window is not None:
                own = np.triu(own, 1 - block.window)
            seen[rows, rows] = own
            for other in block.sees:
                seen[rows, self.offsets[other] : self.offsets[other + 1]] = True
        return seen


def join(layouts: Iterable[RowLayout]) -> RowLayout:
    """Put rows behind one another in one row; the tokens of one never see those of another."""
    blocks: list[Block] = []
    for layout in layouts:
        first = len(blocks)
        blocks += [replace(b, sees=tuple(first + s for s in b.sees)) for b in layout.blocks]
    return RowLayout(tuple(blocks))


def packed_chunks(lengths: Sequence[int], causal: bool = True) -> RowLayout:
    """Lay out chunks that do not see each other; the positions of each begin at 0.

    lengths: tokens of each chunk
    causal:  False for a network whose tokens also see later tokens, such as BERT
    The result of each chunk equals that of a forward pass with this chunk alone.
    """
    return RowLayout(tuple(Block(length, causal=causal) for length in lengths))


def shared_prefix(prefix: int, lengths: Sequence[int], reader: int = 0) -> RowLayout:
    """Lay out [prefix | chunk | chunk | ... | reader]: a chunk sees the prefix and itself.

    prefix:  tokens of the prefix, such as a JD; it is causal and sees no chunk
    lengths: tokens of each chunk; the positions of each continue those of the prefix
    reader:  tokens of a last block that sees everything before it and that no chunk sees; its
             positions begin after those of the longest chunk. 0 means that there is none

    Each chunk's states equal those of a forward pass over [prefix, chunk], for prefix + the sum of
    the lengths instead of the sum of (prefix + length): with chunks of C tokens and a prefix of P,
    the cost falls by a factor of up to 1 + P / C. The reader's states do not depend on the order of
    the chunks. Sources: "Tree Training" (2025, 2511.00413) shares a prefix in this way; a last
    block that reads independent blocks is that of Block-Attention (Ma et al. 2024, 2409.15355).
    """
    chunks = tuple(Block(length, sees=(0,), start=prefix) for length in lengths)
    return _with_reader((Block(prefix), *chunks), reader)


def long_row(
    prefix: int, length: int, window: int, restart: int | None = None, reader: int = 0
) -> RowLayout:
    """Lay out [prefix | document | reader]: the document is causal in a window, the prefix global.

    prefix:  tokens of the prefix, such as a JD; every token of the document sees all of them
    length:  tokens of the document
    window:  tokens of the document that each of its tokens sees, itself included
    restart: tokens of the document after which positions begin again after the prefix; None means
             that they go up to prefix + length
    reader:  as in `shared_prefix`
    Source: Longformer's pattern (Beltagy et al. 2020, 2004.05150) for a decoder.
    """
    document = Block(length, sees=(0,), start=prefix, window=window, restart=restart)
    return _with_reader((Block(prefix), document), reader)


def _with_reader(blocks: tuple[Block, ...], reader: int) -> RowLayout:
    if reader == 0:
        return RowLayout(blocks)
    start = RowLayout(blocks).window
    return RowLayout((*blocks, Block(reader, sees=tuple(range(len(blocks))), start=start)))
