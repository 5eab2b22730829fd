"""Gradient caching (GradCache, Gao et al. 2021): train with large batches on a small device.

A contrastive loss needs the representations of the whole batch at once, but not the activations of
the encoder. So the encoder processes the batch twice, in micro-batches:

1. `forward_no_grad` computes the representations and keeps only the states of the generators;
2. `build_cache` computes the loss and its gradient with respect to the representations;
3. `forward_backward` encodes each micro-batch again, with the same random numbers and therefore the
   same dropout, and runs the backward pass from the cached gradient.

The memory is that of one micro-batch, for every size of batch, and the gradient equals that of the
plain step. The names are the paper's. sentence-transformers' `CachedMultipleNegativesRankingLoss`
is not used, for three reasons. It encodes a document with twelve pairs twelve times; here each
document is encoded once (`known_fits.match_contrast`). It uses all other documents of the batch as
negatives; here known positives and near-duplicates are masked. And its logits are a matrix of
micro-batch × batch; here they are computed in tiles (`contrastive_losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from jdcv_core.training.distributed import world

Encode = Callable[[Any], Tensor]
"""A function from a micro-batch to its representations [row dim]; it has a graph if enabled."""


def cached_step(
    encode: Encode,
    micro_batches: Sequence[Any],
    loss_of: Callable[[Tensor], Tensor],
) -> float:
    """Add the gradient of loss_of(all representations) to the parameters; return the loss.

    encode:        called twice on each micro-batch, in order
    micro_batches: micro-batches of any sizes
    loss_of:       [row dim] → scalar. The rows are in the order of the micro-batches; with several
                   processes, the rows of process 0 come first. Parameters that the function uses
                   (a projection, a temperature) get their gradients, too

    The result equals `plain_step` up to rounding: random numbers are drawn in the same order, and
    the generators end in the same states. With several processes, each has its own micro-batches,
    of any number, and `loss_of` gets the representations of all. Each process may compute the whole
    loss, or `world()` times its part of the loss; the mean of the gradients over the processes (as
    in DDP) then equals the gradient of one process with all micro-batches.
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
    """Step 1: compute representations [row dim] and the random state before each micro-batch."""
    states, found = [], []
    for micro_batch in micro_batches:
        states.append(random_state())
        found.append(encode(micro_batch))
    return torch.cat(found), states


def build_cache(
    loss_of: Callable[[Tensor], Tensor], representations: Tensor
) -> tuple[float, Tensor]:
    """Step 2: compute the loss and its gradient with respect to this process's representations."""
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
    """Step 3: encode each micro-batch again; run backward from its rows of the cached gradient.

    states: the random states that `forward_no_grad` returned
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
    """Compute what `cached_step` computes, with the activations of all micro-batches in memory."""
    loss = loss_of(gather(torch.cat([encode(m) for m in micro_batches])))
    loss.backward()
    return float(loss.detach())


def gather(rows: Tensor) -> Tensor:
    """Gather the rows of all processes, process 0's first; gradients flow back to their processes.

    The backward pass sums, for each row, the gradients of the losses of all processes. (The usual
    gather without gradients, in which a process replaces its own rows, loses the gradients of the
    other processes' losses.)
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
    """Return the state of the CPU's generator and, if CUDA is in use, of the current device's."""
    state = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state.append(torch.cuda.get_rng_state())
    return tuple(state)


def restore_random_state(state: tuple[Tensor, ...]) -> None:
    torch.set_rng_state(state[0])
    if len(state) > 1:
        torch.cuda.set_rng_state(state[1])
