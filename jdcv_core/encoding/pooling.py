"""Encoder states of a chunk's tokens → one chunk vector."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Pooling = Literal["last", "mean", "weighted", "first_last"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def pool_first_last(first: Tensor, last: Tensor, mask: Tensor) -> Tensor:
    """The mean over tokens of the first states (embeddings) plus that of the last, at one length.

    first-last-avg (Su et al. 2021, "Whitening sentence representations", section 4.1), except that
    each mean is divided by its norm first: in GPT-2 the last states are far longer than the
    embeddings, and a plain average would be the last states alone. A decoder's last states speak of
    the token to come; the first still say which tokens stood there.

    first, last: float [row, token, dim]; mask: bool [row, token]. Returns float32 [row, dim].
    """
    means = [pool(states, mask, "mean") for states in (first, last)]
    return sum(torch.nn.functional.normalize(m, dim=-1) for m in means)  # type: ignore[return-value]


def pool(states: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """One vector per row: sum_t w_t state_t, with weights that sum to 1 over the real tokens.

    last:      w = 1 for the last real token, which alone has seen the whole chunk in a decoder
    mean:      w_t = 1 / n
    weighted:  w_t = t / sum_{s=1..n} s for t = 1..n, as late tokens have seen more
               (SGPT, Muennighoff 2022, equation 2)

    states: float [row, token, dim], any precision
    mask:   bool [row, token]; True = real. Every row needs a real token; n counts them, wherever
            they stand, so neither padding nor special tokens that are masked out change a vector.
    Returns float32 [row, dim]. Raises ValueError for an unknown name or a row without a token.
    """
    counts = mask.sum(1)
    if bool((counts == 0).any()):
        raise ValueError("a row without a real token has no vector")
    position = mask.cumsum(1) * mask  # [row, token]: 1..n where real, 0 elsewhere
    if how == "last":
        return states[torch.arange(len(states), device=states.device), position.argmax(1)].float()
    if how == "mean":
        weights = mask / counts[:, None]
    elif how == "weighted":
        weights = position / position.sum(1, keepdim=True)
    else:
        raise ValueError(f"pooling {how!r} is none of last, mean and weighted")
    # A masked state may be anything, even NaN; 0 * NaN would spread it.
    states = states.float().masked_fill(~mask[..., None], 0.0)
    return torch.einsum("rt,rtd->rd", weights.float(), states)
