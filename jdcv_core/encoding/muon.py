"""Muon in the precision in which the processor is fast."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Take steps along the orthogonalised momentum of each matrix.

        m = 0.95 m + 0.05 g,    d = 0.05 g + 0.95 m
        w = (1 - rate · weight_decay) w - rate · 0.2 √(longer side) · orthogonal(d)

    `torch.optim.Muon` computes the same, and always multiplies in bf16: a processor without bf16
    instructions then takes 30 times as long as in fp32. With `dtype=torch.bfloat16` the two give
    the same weights. 0.2 √(longer side) scales steps to the size of AdamW's.

    matrices: parameters with two dimensions
    dtype:    precision of the products of `orthogonal`
    Sources: Jordan et al. 2024 (Muon); Liu et al. 2025, "Muon is scalable for LLM training",
    equation 4 (scaling).

    >>> weight = nn.Parameter(torch.eye(2))
    >>> optimizer = Muon([weight], rate=1.0, weight_decay=0.0)
    >>> weight.sum().backward()  # all gradients are equal: a matrix of rank 1
    >>> optimizer.step()
    >>> bool((weight < torch.eye(2)).all())
    True
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        rate: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(matrices, {"lr": rate, "weight_decay": weight_decay, "dtype": dtype})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Change the matrices that have gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 0.05)
                direction = weight.grad.lerp(momentum, 0.95)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                size = 0.2 * math.sqrt(max(weight.shape))
                step = orthogonal(direction, group["dtype"]).to(weight.dtype)
                weight.add_(step, alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a matrix with the singular vectors of `matrix` and singular values near 1, in `dtype`.

    Five rounds of the quintic Newton-Schulz iteration of Muon; the singular values end between
    about 0.7 and 1.2, if they are not far below the largest one.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix.to(dtype, copy=True)
    x = x if wide else x.T
    x.div_(x.norm().clamp(min=1e-7))
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T
