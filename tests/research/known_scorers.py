"""Scorers and pairs for the tests of attributions, and plain loops over one pair."""

from dataclasses import replace

import numpy as np
import torch
from random_chunks import DIM, padded, random_weights, two_sides
from reference import scorers as slow

from jdcv_core.types import ChunkVectors
from research.aggregators import pairwise, readers
from research.chunk_attention import ChunkAttention

PAIRS = [(1, 1), (1, 3), (3, 1), (2, 2), (4, 3), (3, 4)]


class Bilinear(torch.nn.Module):
    """f = c + Σ x_i^T W_ik x_k; chunks after the first `places` of a side share the last W."""

    def __init__(self, places, seed=0):
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.zeros(places, places, DIM, DIM))
        self.constant = torch.nn.Parameter(torch.zeros(()))
        real(self, seed)

    def terms(self, jd, cv):
        i, k = (torch.arange(s.mask.shape[1]).clamp_max(len(self.matrix) - 1) for s in (jd, cv))
        x, y = (s.vectors * s.mask[..., None] for s in (jd, cv))
        return torch.einsum("pid,ikde,pke->pik", x, self.matrix[i][:, k], y)

    def forward(self, jd, cv):
        return self.constant + self.terms(jd, cv).sum((1, 2))


class Turned(torch.nn.Module):
    """f = Σ g(x_k) with g(x) = x[0] (2 - |x|²): of unit vectors g = x[0], and x . dg/dx = -x[0]."""

    def forward(self, jd, cv):
        return (cv.vectors[..., 0] * (2 - (cv.vectors**2).sum(-1)) * cv.mask).sum(1)


def real(module, seed=0):
    return random_weights(module, seed).double()


def attending(seed=0):
    return real(ChunkAttention(DIM, 2, max_chunks=3, dropout=0.5), seed)


RECURRENT, MAXSIM = real(readers.RecurrentReader(DIM, 5)), real(pairwise.MaxSim(DIM))
SCORERS = [attending(), RECURRENT, real(readers.ParadeTransformer(DIM, 1, 2, 8))]


def sides(lengths, seed=0, dtype=torch.float64, more=(0, 0), noise=None):
    jd, cv = map(padded, two_sides(lengths, seed), [dtype] * 2, more, [noise] * 2)
    return replace(jd, ids=tuple(f"jd:{row}" for row in range(len(lengths)))), cv


def market(seed=0, jds=12):
    """Make JDs with three CVs each; documents have 1 to 4 chunks."""
    lengths = np.random.default_rng(seed).integers(1, 5, jds * 3).tolist()
    jd, cv = sides([(2, n) for n in lengths], seed)
    return jd.take(torch.arange(jds).repeat_interleave(3)), cv


def loops(scorer, jd, cv, row):
    """Return f(i, k), the logit of one pair with only these chunks, and all of its chunks."""

    def alone(side, kept):
        x = side.vectors[row][sorted(kept)][None]
        return ChunkVectors((side.ids[row],), x, torch.ones(x.shape[:2]).bool())

    chunks = (set(range(side.mask[row].sum())) for side in (jd, cv))
    return lambda i, k: scorer(alone(jd, i), alone(cv, k)).item(), *chunks


def slow_drop(one, order, side="cv"):
    f, i, k = one
    rest = [set(order[s:]) for s in range(len(order))]
    scores = [slow.sigmoid(f(r, k) if side == "jd" else f(i, r)) for r in rest]
    return scores[0] - np.mean(scores[1:]) if len(order) > 1 else np.nan
