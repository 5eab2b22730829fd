"""Scorers: the chunk vectors of both sides in, one logit a pair out.

A scorer never sees text, an encoder or an id. The baseline is here; `research` has the others.
"""

from typing import Protocol

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from jdcv_core.types import ChunkVectors


class Scorer(Protocol):
    """What every scorer is: an nn.Module with this call.

    jd, cv: the two sides of the same pairs, ChunkVectors of equal length [pair, chunk, dim]
    Returns the logit of each pair, [pair]; its sigmoid is the score. Padding never changes it.
    """

    def __call__(self, jd: ChunkVectors, cv: ChunkVectors) -> Tensor: ...


class MatchHead(nn.Module):
    """Two vectors → logit: scale * cos(A u, B v) + bias. Ours.

    A and B start as the identity and scale and bias at fixed values, so before any training the
    score is the cosine similarity of the two vectors, and training bends it. With a few thousand
    pairs that matters: a head that starts at random (an MLP over u, v, u * v, |u - v|) learnt the
    training pairs by heart and stayed at chance on new ones (docs/LOG.md, 2026-11-23).

    dim: width of both vectors
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.jd = nn.Linear(dim, dim, bias=False)
        self.cv = nn.Linear(dim, dim, bias=False)
        nn.init.eye_(self.jd.weight)
        nn.init.eye_(self.cv.weight)
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.bias = nn.Parameter(torch.tensor(-0.5))

    def forward(
        self, jd: Float[Tensor, "*pair dim"], cv: Float[Tensor, "*pair dim"]
    ) -> Float[Tensor, "*pair"]:
        return self.compare(self.project(jd, self.jd), self.project(cv, self.cv))

    def all_pairs(
        self, jd: Float[Tensor, "pair i dim"], cv: Float[Tensor, "pair k dim"]
    ) -> Float[Tensor, "pair i k"]:
        """The logit of every (JD chunk i, CV chunk k)."""
        jd = rearrange(self.project(jd, self.jd), "pair i dim -> pair i 1 dim")
        cv = rearrange(self.project(cv, self.cv), "pair k dim -> pair 1 k dim")
        return self.compare(jd, cv)

    @staticmethod
    def project(vectors: Tensor, layer: nn.Linear) -> Tensor:
        return nn.functional.normalize(layer(vectors), dim=-1)

    def compare(self, jd: Tensor, cv: Tensor) -> Tensor:
        return self.scale * (jd * cv).sum(-1) + self.bias


class MeanPairs(nn.Module):
    """The baseline: score = mean over (JD chunk i, CV chunk k) of sigmoid(head(jd_i, cv_k)).

    Equals the match head alone when both documents have one chunk. Returned as a logit, so that
    its sigmoid is the mean score. Source: the prototype's avg over i, j of score(JD_i, CV_j).

    dim: width of the chunk vectors
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        scores = torch.sigmoid(self.head.all_pairs(jd.vectors, cv.vectors))  # [pair i k]
        real = rearrange(jd.mask, "pair i -> pair i 1") & rearrange(cv.mask, "pair k -> pair 1 k")
        mean = (scores * real).sum((1, 2)) / real.sum((1, 2))
        return torch.logit(mean, eps=1e-6)


def count_parameters(module: nn.Module) -> int:
    """Numbers that training may change."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
