"""Group chunks into batches for the encoder: rows with padding, or one row without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batches:
    """Batches of chunks and how the encoder reads each of them.

    indices: the chunks of each batch; every index appears exactly once
    packed:  True if all chunks of a batch are in one row without padding (`packing`), False if each
             is a row, padded to the longest
    """

    indices: list[list[int]]
    packed: bool


def cheapest_batches(
    lengths: Sequence[int], budget: int, call: int = 0, chunk: int | None = 0
) -> Batches:
    """Group chunks into padded or packed batches, whichever costs less.

        cost of padded batches = sum over batches of (call + rows * longest)
        cost of packed batches = sum over batches of (call + sum of lengths + rows * chunk)

    lengths, budget, call: as in `length_batches`
    chunk: what it costs to attend to one more chunk in a packed row, in tokens; None means that the
           network cannot read such rows

    >>> cheapest_batches([9, 9, 9], budget=99, chunk=1).packed  # nothing to pad
    False
    >>> cheapest_batches([9, 4, 2], budget=99, call=5, chunk=1)
    Batches(indices=[[0, 1, 2]], packed=True)
    """
    padded = length_batches(lengths, budget, call)
    if chunk is None:
        return Batches(padded, packed=False)
    packed = packed_batches(lengths, budget)
    saved = sum(len(batch) * lengths[batch[0]] for batch in padded) - sum(lengths)
    spent = len(lengths) * chunk + call * (len(packed) - len(padded))
    return Batches(packed, True) if spent < saved else Batches(padded, False)


def packed_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Fill batches up to a budget of tokens with the chunks in order of length, the longest first.

    A chunk longer than the budget gets a batch for itself. Chunks of equal length are neighbours,
    so that their attention is computed together. Ours.
    """
    batches: list[list[int]] = []
    room = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or lengths[i] > room:
            batches.append([])
            room = budget
        batches[-1].append(i)
        room -= lengths[i]
    return batches


def length_batches(lengths: Sequence[int], budget: int, call: int = 0) -> list[list[int]]:
    """Group chunks of similar length into batches so that the total cost is least.

    lengths: tokens per chunk
    budget:  largest number of tokens in a batch, padding included (rows * longest); a chunk longer
             than this gets a batch for itself
    call:    fixed cost of one batch, expressed in tokens. With 0 nothing is padded: only chunks of
             equal length share a batch. A larger value gives fewer and fuller batches

    The chunks are sorted by length and cut into batches such that the sum over batches of
    (call + rows * longest) is least (dynamic programming). Returns the indices of each batch; every
    index appears exactly once. The longest batch comes first, so that memory runs out at the first
    batch or never. The same lengths always give the same batches. Ours.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} tokens is too small: give 1 or more")
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    least = np.zeros(len(order) + 1, dtype=np.int64)  # cost of order[i:]
    stop = [0] * len(order)  # end of the batch that starts at i in the best partition
    sizes = np.arange(1, len(order) + 1)
    for i in reversed(range(len(order))):
        longest = lengths[order[i]]
        most = min(max(1, budget // longest), len(order) - i)
        costs = sizes[:most] * longest + least[i + 1 : i + 1 + most]
        size = most - int(costs[::-1].argmin())  # the fullest batch wins a tie
        least[i], stop[i] = call + costs[size - 1], i + size
    batches, at = [], 0
    while at < len(order):
        batches.append(order[at : stop[at]])
        at = stop[at]
    return batches
