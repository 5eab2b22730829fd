"""Scorers that weigh a CV's chunks by the months of the experience they belong to. Ours.

    W(E_j) = f(duration, recency) · P(E_j, J_i)

The `ChunkVectors` of the CV side carry the `Months` of each chunk. The weight of chunk k is
w_k = scale · f(d, a) / f(24, 0) · share for a chunk of a dated experience, and 1 · share for any
other, where share is 1 / the number of chunks of its segment. So an experience counts once however
long its text is; a current one of two years counts as much as a segment without dates, times a
learned scale; and a CV without dates is not weighted at all.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from jdcv_core.errors import InputError, nearest
from jdcv_core.masking import masked_mean, real_only
from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors
from research.chunk_attention import ChunkAttention
from research.experience.experience_chunking import DURATION, RECENCY, SHARE
from research.experience.weights import PACE, Decay, make_f

COMBINE = ("mean", "any", "vectors")
LEAST = 1e-6
"""The smallest weight, so that a CV with very old experiences only has a score, too."""
USUAL = (24.0, 0.0)
"""Months and recency of the experience whose f is the unit."""


class MonthWeights(nn.Module):
    """The weight of each CV chunk by its months, as in the formula of the module.

    f: a name in `weights.FAMILY`

    >>> months = torch.tensor([[[24.0, 0.0, 1.0, 0.0], [float("nan"), float("nan"), 1.0, 0.0]]])
    >>> cv = ChunkVectors(("cv:1",), torch.ones(1, 2, 8), torch.ones(1, 2).bool(), months)
    >>> MonthWeights()(cv).tolist()  # two years until today, and a chunk without dates
    [[1.0, 1.0]]
    """

    def __init__(self, f: str = "half_life") -> None:
        super().__init__()
        self.f = make_f(f)
        self.scale = nn.Parameter(torch.zeros(()))  # its logarithm, in units of PACE

    def forward(self, cv: ChunkVectors) -> Float[Tensor, "pair chunk"]:
        """Above 0 for real chunks, 0 for padded ones. Raises ValueError without months."""
        if cv.months is None:
            raise ValueError(
                "this scorer weighs by months, and the CVs have none: "
                "chunking.by=experience gives them, to rows whose encoder is not trained"
            )
        months = cv.months[..., (DURATION, RECENCY)]
        dated = ~months.isnan().any(-1) & cv.mask
        duration, recency = months.nan_to_num().unbind(-1)
        unit = self.f(*torch.tensor(USUAL, device=months.device).unbind())
        weight = (PACE * self.scale).exp() * self.f(duration, recency) / unit
        weight = weight.clamp_min(LEAST)
        share = cv.months[..., SHARE].nan_to_num()
        return torch.where(dated, weight, torch.ones_like(weight)) * share * cv.mask

    def learnt(self) -> dict[str, float]:
        """The learned scale, and the learned half-life in months if f has one."""
        found = {"experience_scale": float((PACE * self.scale).exp())}
        if isinstance(self.f, Decay) and self.f.by != "duration":
            found["half_life"] = float(self.f.half_life)
        return found


class ExperienceWeighted(nn.Module):
    """The baseline's match head, weighted by months, with three ways to combine experiences.

        p_ik = sigmoid(head(jd_i, cv_k))
        mean:    score = mean over i of (sum over k of w_k p_ik / sum of w_k)
        any:     score = sum over i of v_i (1 - prod over k of (1 - p_ik)^w_k)
        vectors: score = sigmoid(head(mean jd_i, sum w_k cv_k / sum w_k))

    `mean` is the normalised weighted mean of scores; with f = uniform and one chunk a segment it
    equals MeanPairs. With `any`, evidence adds up and saturates, as months towards a requirement
    do: w_k times -log(1 - p) is a hazard, and v_i, a softmax over JD chunks, learns which chunk of
    a JD states a requirement. `vectors` works with an index of one vector a CV.

    dim:     width of the chunk vectors
    f:       a name in `weights.FAMILY`
    combine: a name in COMBINE

    Returns [pair]. Raises InputError for an unknown name, ValueError for CVs without months.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)[:1]}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"], {"cv:1": [[24, 0, 1, 0]]})
    >>> round(ExperienceWeighted(2)(jd, cv).item(), 3)  # one chunk a side: the match head's logit
    4.5
    """

    def __init__(self, dim: int, f: str = "half_life", combine: str = "mean") -> None:
        super().__init__()
        if combine not in COMBINE:
            raise InputError(
                f"combine={combine}", "there is no such way", nearest(combine, list(COMBINE))
            )
        self.combine = combine
        self.head = MatchHead(dim)
        self.months = MonthWeights(f)
        if combine == "any":
            self.asks = nn.Linear(dim, 1, bias=False)
            nn.init.zeros_(self.asks.weight)
            self.offset = nn.Parameter(torch.tensor(-1.0))

    def learnt(self) -> dict[str, float]:
        """See `MonthWeights.learnt`."""
        return self.months.learnt()

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        weight = self.months(cv)
        u, v = real_only(jd), real_only(cv)
        if self.combine == "vectors":
            mean = masked_mean(jd.vectors, jd.mask)
            return self.head(mean, (weight[..., None] * v).sum(1) / weight.sum(1, keepdim=True))
        logits = self.head.all_pairs(u, v)
        every = rearrange(weight, "pair k -> pair 1 k")
        if self.combine == "mean":
            each = (logits.sigmoid() * every).sum(-1) / every.sum(-1)
            score = masked_mean(each, jd.mask)
        else:
            hazard = (softplus(logits + self.offset) * every).sum(-1)  # -log(1 - p), summed
            asked = self.asks(u)[..., 0].masked_fill(~jd.mask, float("-inf")).softmax(-1)
            score = (asked * -torch.expm1(-hazard)).sum(-1)
        return torch.logit(score, eps=1e-6)


class WeightedChunkAttention(ChunkAttention):
    """Chunk attention that attends to CV chunks, and pools them, with the bias log w_k.

        attention weight of k ∝ w_k · exp(logit)

    With f = uniform, one chunk a segment and scale 1 it equals `ChunkAttention`.

    dim: width of the chunk vectors
    f:   a name in `weights.FAMILY`

    Returns [pair]. Raises ValueError for CVs without months.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(8)[:1]}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(8)[:1]}, ["cv:1"], {"cv:1": [[24, 0, 1, 0]]})
    >>> round(WeightedChunkAttention(8).eval()(jd, cv).item(), 3)
    4.5
    """

    def __init__(self, dim: int, f: str = "half_life") -> None:
        super().__init__(dim)
        self.months = MonthWeights(f)

    def learnt(self) -> dict[str, float]:
        """See `MonthWeights.learnt`."""
        return self.months.learnt()

    def bias(self, cv: ChunkVectors) -> Float[Tensor, "pair chunk"] | None:
        return self.months(cv).clamp_min(1e-9).log()
