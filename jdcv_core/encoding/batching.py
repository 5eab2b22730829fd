"""Group chunks into batches for the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
