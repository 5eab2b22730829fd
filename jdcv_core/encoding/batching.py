"""Which chunks go through the encoder together."""

from __future__ import annotations

from collections.abc import Sequence


def length_batches(lengths: Sequence[int], budget: int, call: int = 0) -> list[list[int]]:
    """Indices of chunks in batches of like length, longest first, at the least cost.

    lengths: tokens per chunk
    budget:  most tokens in a batch, padding included (rows * longest); a chunk longer than this
             goes alone
    call:    what a batch costs beside its tokens, in tokens. 0: never pad, only equal lengths go
             together; the larger, the fuller the batches

    Of all ways to cut the chunks, sorted by length, into batches, this is one with the least
    sum over batches of (call + rows * longest), by dynamic programming. Every index comes exactly
    once. Longest first, so that memory runs out at once or never. The same lengths always give the
    same batches. Ours.
    """
    if budget < 1:
        raise ValueError(f"a budget of {budget} tokens holds nothing")
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    least = [0] * (len(order) + 1)  # cost of order[i:]
    stop = [0] * len(order)  # end of the batch that starts at i in the best way
    for i in reversed(range(len(order))):
        longest = lengths[order[i]]
        most = max(1, budget // longest)
        ends = range(min(i + most, len(order)), i, -1)  # of equal costs the fullest batch
        least[i], stop[i] = min(
            ((call + (end - i) * longest + least[end], end) for end in ends), key=lambda c: c[0]
        )
    batches, at = [], 0
    while at < len(order):
        batches.append(order[at : stop[at]])
        at = stop[at]
    return batches
