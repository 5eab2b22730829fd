"""Contrastive losses as functions of representations, never of a model.

The matrix of all similarities is computed in tiles, forward and backward, and is never in memory as
a whole.

With s_ij = z_i . z_j / temperature for unit vectors z, a positive pair (i, j) costs

    l_ij = -log( exp(s_ij) / (exp(s_ij) + sum over negatives k of i of exp(s_ik)) )
         = softplus(n_i - s_ij)          n_i = log sum over negatives k of i of exp(s_ik)

so each positive competes only with the negatives, not with other positives of its anchor: if a JD
has several Good Fits in a batch, the loss separates it from none of them. n_i is one number per
anchor, which can be accumulated tile by tile.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize, softplus

from research.contrastive.known_fits import Contrast, views_of

TILE = 1024
"""Number of anchors and of candidates in a tile; its similarities take 4 MiB in fp32."""


def contrastive_loss(
    representations: Float[Tensor, "row dim"],
    contrast: Contrast,
    temperature: float | Float[Tensor, ""],
    tile: int = TILE,
) -> Float[Tensor, ""]:
    """Compute the weighted mean of l_ij over positive pairs, in nats.

    representations: vectors of any length; they are normalised to length 1
    contrast:        which rows are anchors and candidates, and which pairs are positive or excluded
    temperature:     divides the similarities; above 0
    tile:            number of anchors and of candidates whose similarities are in memory at once;
                     every value gives the same loss and gradient, up to rounding

    If all representations are equal, l_ij is ln(1 + number of negatives of i). A positive whose
    anchor has no negative costs 0. The loss is computed in fp32, or in fp64 if the representations
    are fp64. Raises ValueError for a tile below 1 and for a contrast without positives.
    Source: InfoNCE, van den Oord et al. 2018, equation 4; with weights after Khosla et al. 2020.

    In the example, four vectors have the angles 0°, 180°, 60° and 180°, the temperature is 0.5, and
    the first and third vector are a positive pair. Their s is 2 cos 60° = 1; with each other vector
    the first has s = 2 cos 180° = -2, so l = ln(1 + 2 e^-2 / e^1) = ln(1 + 2 e^-3) = 0.0949.

    >>> z = torch.tensor([[1.0, 0], [-1, 0], [0.5, 3**0.5 / 2], [-1, 0]])
    >>> one = Contrast.of([0], [1, 2, 3], [(0, 2)], [1.0])
    >>> round(contrastive_loss(z, one, 0.5).item(), 4)
    0.0949
    """
    if tile < 1:
        raise ValueError(f"a tile has at least 1 row, got {tile}")
    if len(contrast.positive) == 0:
        raise ValueError("there is no positive pair, so there is nothing to learn")
    if representations.dtype != torch.float64:
        representations = representations.float()
    z = normalize(representations, dim=-1)
    anchors, candidates = z[contrast.anchor] / temperature, z[contrast.candidate]
    i, j = contrast.positive.T
    similar = (anchors[i] * candidates[j]).sum(-1)
    negative: Any = _NegativeLogSumExp.apply(anchors, candidates, contrast.excluded, tile)
    weight = contrast.weight.to(similar)
    return (weight * softplus(negative[i] - similar)).sum() / weight.sum()


def nt_xent(
    representations: Float[Tensor, "row dim"],
    temperature: float | Float[Tensor, ""],
    tile: int = TILE,
) -> Float[Tensor, ""]:
    """Compute NT-Xent over 2N views (Chen et al. 2020, SimCLR, equation 1; the prototype's loss):

        mean over i of -log( exp(s_ij) / sum over k != i of exp(s_ik) )

    representations: [2N, dim]; rows i and i + N are two views of the same item
    The result equals `contrastive_loss` on `views_of(N)`. Raises ValueError for an odd number of
    rows.
    """
    rows = len(representations)
    if rows % 2 or rows == 0:
        raise ValueError(f"each item needs two views, got {rows} rows")
    return contrastive_loss(representations, views_of(rows // 2), temperature, tile)


class Temperature(nn.Module):
    """The temperature, which divides the similarities: fixed, or learned between two bounds.

        t = low (high / low)^sigmoid(x)

    value: initial value, between the bounds; other values raise ValueError

    If the temperature is very low, a single negative dominates the loss. A learned temperature
    would fall to such values, so it is bounded (CLIP, Radford et al. 2021, section 2.5, clips it at
    0.01).
    """

    def __init__(
        self, value: float = 0.05, learned: bool = False, low: float = 0.01, high: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < low < value < high:
            raise ValueError(f"the temperature {value} must lie between {low} and {high}")
        self.low, self.high = low, high
        share = math.log(value / low) / math.log(high / low)
        start = torch.tensor(math.log(share / (1 - share)))
        self.position = nn.Parameter(start, requires_grad=learned)

    def forward(self) -> Float[Tensor, ""]:
        return self.low * (self.high / self.low) ** torch.sigmoid(self.position)


def alignment(
    representations: Float[Tensor, "row dim"], pairs: Int[Tensor, "pair 2"]
) -> Float[Tensor, ""]:
    """Compute the mean over positive pairs of |z_i - z_j|², z of length 1; 0 if partners are equal.

    Source: Wang & Isola 2020, equation 2 with alpha = 2.
    """
    z = normalize(representations, dim=-1)
    return (z[pairs[:, 0]] - z[pairs[:, 1]]).square().sum(-1).mean()


def uniformity(representations: Float[Tensor, "row dim"]) -> Float[Tensor, ""]:
    """Compute the log of the mean over pairs of different rows of exp(-2 |z_i - z_j|²).

    A lower value means that rows are spread more evenly over the sphere; it is 0 if all are equal.

    Source: Wang & Isola 2020, equation 3 with t = 2.
    """
    z = normalize(representations, dim=-1)
    return torch.pdist(z).square().mul(-2).exp().mean().log()


class _NegativeLogSumExp(torch.autograd.Function):
    """n_i = log sum over k of exp(a_i . c_k), over the k that are not excluded for i."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, c: Tensor, excluded: Tensor, tile: int) -> Tensor:
        result = a.new_empty(len(a))
        for rows in _tiles(len(a), tile):
            highest = a.new_full((len(a[rows]),), -torch.inf)
            total = torch.zeros_like(highest)
            for columns in _tiles(len(c), tile):
                s = _similarities(a, c, excluded, rows, columns)
                before, highest = highest, torch.maximum(highest, s.amax(1))
                level = highest.clamp_min(torch.finfo(s.dtype).min)  # -inf - -inf is nan
                total = total * (before - level).exp() + (s - level[:, None]).exp_().sum(1)
            result[rows] = highest + total.log()
        ctx.save_for_backward(a, c, excluded, result)
        ctx.tile = tile
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        a, c, excluded, result = ctx.saved_tensors
        level = result.clamp_min(torch.finfo(a.dtype).min)
        to_a, to_c = torch.zeros_like(a), torch.zeros_like(c)
        for rows in _tiles(len(a), ctx.tile):
            for columns in _tiles(len(c), ctx.tile):
                s = _similarities(a, c, excluded, rows, columns)
                share = s.sub_(level[rows, None]).exp_().mul_(gradients[0][rows, None])
                to_a[rows] += share @ c[columns]
                to_c[columns] += share.T @ a[rows]
        return to_a, to_c, None, None


def _tiles(length: int, tile: int) -> list[slice]:
    return [slice(start, min(start + tile, length)) for start in range(0, length, tile)]


def _similarities(a: Tensor, c: Tensor, excluded: Tensor, rows: slice, columns: slice) -> Tensor:
    """Compute a_i . c_k of a tile, -inf if k is excluded for i. excluded: [excluded 2], sorted."""
    s = a[rows] @ c[columns].T
    ends = torch.tensor([rows.start, rows.stop], device=excluded.device)
    start, stop = torch.searchsorted(excluded[:, 0].contiguous(), ends).tolist()
    i, k = excluded[start:stop].T
    here = (k >= columns.start) & (k < columns.stop)
    s[i[here] - rows.start, k[here] - columns.start] = -torch.inf
    return s
