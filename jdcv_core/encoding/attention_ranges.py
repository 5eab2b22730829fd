"""Cut the attention of a row into dense pieces: a range of queries and the ranges of their keys.

Each piece is a plain attention of all its queries to all its keys, but for the last keys, which
are causal. No key that a piece does not see is multiplied, so that the cost is that of separate
passes, and a token that is not seen cannot change a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from jdcv_core.encoding.device_copies import to_device
from jdcv_core.encoding.row_layout import RowLayout


class Shape(NamedTuple):
    """What decides a piece's mask; pieces of one shape are computed together.

    queries: number of queries
    whole:   number of first keys that every query sees (the blocks that are seen)
    before:  number of keys of the own block before the first query
    causal, window: as in `Block`
    """

    queries: int
    whole: int
    before: int
    causal: bool
    window: int | None

    @property
    def keys(self) -> int:
        return self.whole + self.before + self.queries

    def mask(self, device: torch.device | str = "cpu") -> Tensor | None:
        """Return which keys (second axis) each query sees, bool; None if that is all of them."""
        if not self.causal:
            return None
        query = torch.arange(self.queries, device=device)[:, None] + self.before
        key = torch.arange(self.keys, device=device)[None] - self.whole  # < 0: seen by all
        seen = key <= query
        if self.window is not None:
            seen &= (key > query - self.window) | (key < 0)
        return seen


@dataclass(frozen=True)
class Ranges:
    """The pieces of a row, grouped by shape.

    shapes: the shape of each group and its number of pieces
    queries: int64 [token]: the queries of all pieces in that order, as tokens of the row
    keys:   int64 [key]: the keys of all pieces in that order, as tokens of the row
    back:   int64 [token]: where each token of the row is in `queries`
    Each of the three is None if it is 0, 1, 2, ... up to the row's length.
    """

    shapes: tuple[tuple[Shape, int], ...]
    queries: Tensor | None
    keys: Tensor | None
    back: Tensor | None

    @property
    def query_counts(self) -> list[int]:
        """Number of queries of each group."""
        return [shape.queries * pieces for shape, pieces in self.shapes]

    @property
    def key_counts(self) -> list[int]:
        """Number of keys of each group."""
        return [shape.keys * pieces for shape, pieces in self.shapes]

    def bounds(self, of: str) -> list[int]:
        """Return where each piece's "queries" or "keys" begin, and their total: [piece + 1]."""
        sizes = [n for shape, pieces in self.shapes for n in [getattr(shape, of)] * pieces]
        return [0, *accumulate(sizes)]


def ranges(layout: RowLayout, device: torch.device | str = "cpu") -> Ranges:
    """Cut a row into pieces, one a block; a block with a window w is cut every w queries.

    The pieces' indices are on `device`. Ours.
    """
    groups: dict[Shape, list[tuple[np.ndarray, np.ndarray]]] = {}
    for shape, queries, keys in _pieces(layout):
        groups.setdefault(shape, []).append((queries, keys))
    shapes = tuple((shape, len(found)) for shape, found in groups.items())
    queries, keys = (
        np.concatenate([piece[part] for found in groups.values() for piece in found])
        for part in (0, 1)
    )
    row = np.arange(layout.length)

    def unless_row(tokens: np.ndarray, index: np.ndarray) -> Tensor | None:
        return None if np.array_equal(tokens, row) else to_device(torch.from_numpy(index), device)

    return Ranges(
        shapes,
        unless_row(queries, queries),
        unless_row(keys, keys),
        unless_row(queries, np.argsort(queries)),
    )


def _pieces(layout: RowLayout) -> Iterator[tuple[Shape, np.ndarray, np.ndarray]]:
    """Yield the shape, the queries and the keys (tokens of the row) of each piece."""
    spans = [np.arange(a, b) for a, b in pairwise(layout.offsets)]
    for block, own in zip(layout.blocks, spans, strict=True):
        seen = [spans[number] for number in block.sees]
        whole = sum(map(len, seen))
        step = block.length if block.window is None else block.window
        for at in range(0, block.length, step):
            first = 0 if block.window is None else max(0, at - block.window + 1)
            queries = own[at : at + step]
            keys = np.concatenate([*seen, own[first : at + len(queries)]])
            shape = Shape(len(queries), whole, at - first, block.causal, block.window)
            yield shape, queries, keys
