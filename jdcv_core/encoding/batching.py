"""Group chunks into batches for the encoder."""

from __future__ import annotations

from collections.abc import Sequence


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
    least = [0] * (len(order) + 1)  # cost of order[i:]
    stop = [0] * len(order)  # end of the batch that starts at i in the best partition
    for i in reversed(range(len(order))):
        longest = lengths[order[i]]
        most = max(1, budget // longest)
        ends = range(min(i + most, len(order)), i, -1)  # fullest first: it wins a tie
        least[i], stop[i] = min(
            ((call + (end - i) * longest + least[end], end) for end in ends), key=lambda c: c[0]
        )
    batches, at = [], 0
    while at < len(order):
        batches.append(order[at : stop[at]])
        at = stop[at]
    return batches
