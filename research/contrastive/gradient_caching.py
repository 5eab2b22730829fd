"""A batch of thousands on one small device: gradient caching (GradCache, Gao et al. 2021).

A contrastive loss needs the representations of the whole batch at once, but not what the encoder
kept to compute them. So the batch goes through twice, in micro-batches:

1. `forward_no_grad`: representations only, nothing is kept but the state of the random numbers;
2. `build_cache`: the loss and its gradient with respect to the representations;
3. `forward_backward`: each micro-batch again, with its random numbers replayed, so that dropout is
   the same, and backward from the cached gradient.

Memory is that of one micro-batch, whatever the batch; the gradient is that of the plain step. The
names are the paper's. What sentence-transformers' `CachedMultipleNegativesRankingLoss` does not
have, and why it is not used here: it reads one text of a pair at a time, so a document with twelve
pairs goes through twelve times (here each unique document once, see `graph.match_contrast`); its
negatives are whatever stands in the batch (here known positives and near-duplicates are masked);
and its logits are a matrix of micro-batch × batch (here tiles, see `losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from jdcv_core.training.distributed import world

Encode = Callable[[Any], Tensor]
"""A micro-batch → its representations [row dim], with a graph where gradients are enabled."""


def cached_step(
    encode: Encode,
    micro_batches: Sequence[Any],
    loss_of: Callable[[Tensor], Tensor],
) -> float:
    """Add the gradient of loss_of(all representations) to the parameters; return the loss.

    encode:        called twice on each micro-batch, in order
    micro_batches: of any sizes
    loss_of:       [row dim] → scalar; rows in the order of the micro-batches, those of process 0
                   first under several processes. Its own parameters (a projection, a temperature)
                   get their gradient, too

    Equals encoding all micro-batches with a graph, then loss and backward, to rounding: the random
    numbers are drawn in the same order. Afterwards the generators are where a plain step leaves
    them. Under several processes each has its own micro-batches, in any numbers, and sees all
    representations. Each may compute the whole loss, or `world()` times its part of it; the mean
    over processes of the gradients, which DDP takes, is then that of one process with them all.
    """
    representations, states = forward_no_grad(encode, micro_batches)
    after = random_state()
    loss, gradients = build_cache(loss_of, representations)
    forward_backward(encode, micro_batches, gradients, states)
    restore_random_state(after)
    return loss


@torch.no_grad()
def forward_no_grad(
    encode: Encode, micro_batches: Sequence[Any]
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Step 1: the representations [row dim], and the random state before each micro-batch."""
    states, found = [], []
    for micro_batch in micro_batches:
        states.append(random_state())
        found.append(encode(micro_batch))
    return torch.cat(found), states


def build_cache(
    loss_of: Callable[[Tensor], Tensor], representations: Tensor
) -> tuple[float, Tensor]:
    """Step 2: the loss, and its gradient with respect to this process's representations."""
    leaf = representations.detach().requires_grad_()
    loss = loss_of(gather(leaf))
    loss.backward()
    assert leaf.grad is not None
    return float(loss.detach()), leaf.grad


def forward_backward(
    encode: Encode,
    micro_batches: Sequence[Any],
    gradients: Tensor,
    states: Sequence[tuple[Tensor, ...]],
) -> None:
    """Step 3: each micro-batch again, backward from its rows of the cached gradient.

    states: of `forward_no_grad`
    """
    start = 0
    for micro_batch, state in zip(micro_batches, states, strict=True):
        restore_random_state(state)
        rows = encode(micro_batch)
        rows.backward(gradients[start : start + len(rows)].to(rows.dtype))
        start += len(rows)
    if start != len(gradients):
        raise ValueError(f"{start} representations and {len(gradients)} gradients")


def plain_step(
    encode: Encode, micro_batches: Sequence[Any], loss_of: Callable[[Tensor], Tensor]
) -> float:
    """What `cached_step` equals: everything with a graph, all of it in memory at once."""
    loss = loss_of(gather(torch.cat([encode(m) for m in micro_batches])))
    loss.backward()
    return float(loss.detach())


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, process 0's first; gradients flow back to where a row came from.

    The backward pass sums over processes the gradients that each process's loss gives for a row. A
    gather without gradients, into which a process puts its own rows back, loses those of the
    other processes' losses.
    """
    if world() == 1:
        return rows
    from torch.distributed._functional_collectives import all_gather_single_autograd

    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    most = int(torch.stack(counts).max())
    padded = torch.nn.functional.pad(rows, (0, 0, 0, most - len(rows)))
    everyone = list(range(world()))
    whole = all_gather_single_autograd(padded, gather_dim=0, group=everyone)
    return torch.cat([part[: int(n)] for part, n in zip(whole.split(most), counts, strict=True)])


def random_state() -> tuple[Tensor, ...]:
    """Of the CPU's generator, and of the current CUDA device's where one is in use."""
    state = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state.append(torch.cuda.get_rng_state())
    return tuple(state)


def restore_random_state(state: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1])
