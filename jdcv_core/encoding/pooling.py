"""Pool the encoder states of a chunk's tokens into one chunk vector."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

Pooling = Literal["last", "mean", "weighted", "first_last"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def pool_first_last(first: Tensor, last: Tensor, mask: Tensor) -> Tensor:
    """Add the normalised means over tokens of the first states (embeddings) and the last states.

    This is first-last-avg (Su et al. 2021, "Whitening sentence representations", section 4.1),
    except that each mean is first divided by its norm: GPT-2's last states are far longer than its
    embeddings, and would dominate a plain average. A decoder's last states predict the next token;
    the embeddings represent the tokens of the chunk itself.

    first, last: float [row, token, dim]; mask: bool [row, token]. Returns float32 [row, dim].
    """
    means = [pool(states, mask, "mean") for states in (first, last)]
    return sum(torch.nn.functional.normalize(m, dim=-1) for m in means)  # type: ignore[return-value]


def pool(states: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """Compute sum_t w_t state_t for each row; the weights of the real tokens sum to 1.

    last:      w = 1 for the last real token, the only one in a decoder that attends to all others
    mean:      w_t = 1 / n
    weighted:  w_t = t / sum_{s=1..n} s for t = 1..n, because later tokens attend to more tokens
               (SGPT, Muennighoff 2022, equation 2)

    states: float [row, token, dim], any precision
    mask:   bool [row, token]; True = real. Every row needs a real token. n is the number of real
            tokens, at any positions, so padding and masked special tokens do not change a vector.
    Returns float32 [row, dim]. Raises ValueError for an unknown name and, on a CPU, for a row
    without real tokens; a GPU would have to finish its work before it could say so, and the means
    of such a row are NaN.
    """
    counts = mask.sum(1)
    if mask.device.type == "cpu" and bool((counts == 0).any()):
        raise ValueError("a row without a real token has no vector")
    position = mask.cumsum(1) * mask  # [row, token]: 1..n where real, 0 elsewhere
    if how == "last":
        return states[torch.arange(len(states), device=states.device), position.argmax(1)].float()
    if how == "mean":
        weights = mask / counts[:, None]
    elif how == "weighted":
        weights = position / position.sum(1, keepdim=True)
    else:
        raise ValueError(f"pooling {how!r} is unknown: give last, mean or weighted")
    # A masked state may be NaN, and 0 * NaN is NaN: set it to 0 instead.
    states = states.float().masked_fill(~mask[..., None], 0.0)
    return torch.einsum("rt,rtd->rd", weights.float(), states)
