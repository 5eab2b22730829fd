"""Scorers that reduce the matrix of all (JD chunk, CV chunk) comparisons to one logit.

Padding and the order of chunks have no effect.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jdcv_core.errors import InputError, nearest
from jdcv_core.masking import masked_mean, real_only, real_pairs
from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors

HOW = ("max", "topk", "sum")


class PooledPairs(nn.Module):
    """Pool the match head's cosines of all chunk pairs, then scale and shift the result.

        logit = scale * pool(c) + bias        c_ik = cos(A u_i, B v_k)

    dim: width of the chunk vectors
    how: "max":  the best chunk pair (BERT-MaxP, Dai & Callan 2019)
         "topk": the mean of the k best chunk pairs, or of all if there are fewer; k = 1 is "max"
         "sum":  sum of c / sqrt(number of chunk pairs) (after BERT-SumP, Dai & Callan 2019)
    k:   of "topk"

    A plain sum would depend on the length of documents: the cosines of n unrelated chunk pairs add
    up to about +-sqrt(n). After division by sqrt(n), their spread is the same for every n, while
    evidence from many pairs still accumulates (in a mean it does not). The bias is added once, not
    n times. Cosines are pooled instead of scores, so the score stays in (0, 1).
    `jdcv_core.scoring.MeanPairs` is the mean over pairs (of scores).

    Returns [pair]. With one chunk a side, all three equal the match head, trained or not.
    Raises InputError for an unknown name or k below 1.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> PooledPairs(2, "max")(jd, cv).tolist()  # cosines 1 and 0: 5 * 1 - 0.5
    [4.5]
    """

    def __init__(self, dim: int, how: str = "max", k: int = 3) -> None:
        super().__init__()
        if how not in HOW:
            raise InputError(f"how={how}", "there is no such pooling", nearest(how, list(HOW)))
        if k < 1:
            raise InputError(f"k={k}", "it is too small", "give 1 or more")
        self.how, self.k = how, 1 if how == "max" else k
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        c = rearrange(cosines(self.head, jd, cv), "pair i k -> pair (i k)")
        real = rearrange(real_pairs(jd, cv), "pair i k -> pair (i k)")
        pooled = self._sum(c, real) if self.how == "sum" else self._best(c, real)
        return self.head.scale[0] * pooled + self.head.bias[0]

    def _sum(
        self, cosines: Float[Tensor, "pair ik"], real: Bool[Tensor, "pair ik"]
    ) -> Float[Tensor, " pair"]:
        return cosines.masked_fill(~real, 0).sum(1) / real.sum(1).to(cosines.dtype).sqrt()

    def _best(
        self, cosines: Float[Tensor, "pair ik"], real: Bool[Tensor, "pair ik"]
    ) -> Float[Tensor, " pair"]:
        masked = cosines.masked_fill(~real, float("-inf"))
        best = masked.topk(min(self.k, masked.shape[1]), dim=1).values
        return masked_mean(best, best > float("-inf"))


class MaxSim(nn.Module):
    """Late interaction over chunks, both ways (ColBERT, Khattab & Zaharia 2020, equation 3).

        s     = (mean_i max_k c_ik + mean_k max_i c_ik) / 2        c_ik = cos(A u_i, B v_k)
        logit = scale * s + bias

    The paper uses one direction, from the tokens of the query, and sums over them. Here means are
    used, so that long documents do not score higher. A and B start as the identity.

    dim: width of the chunk vectors

    Returns [pair]. If the two documents and the matrices A and B are swapped, the logit stays the
    same; untrained, A and B are equal. With one chunk a side it equals the match head.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> MaxSim(2)(jd, cv).tolist()  # s = ((1 + 0) / 2 + 1) / 2, and 5 * s - 0.5
    [3.25]
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        masked = cosines(self.head, jd, cv).masked_fill(~real_pairs(jd, cv), float("-inf"))
        from_jd = masked_mean(masked.amax(2), jd.mask)
        from_cv = masked_mean(masked.amax(1), cv.mask)
        return self.head.scale[0] * (from_jd + from_cv) / 2 + self.head.bias[0]


class SimilarityHistogram(nn.Module):
    """Soft term frequencies over chunks (K-NRM, Xiong et al. 2017).

        c_ik  = cos(A u_i, B v_k)
        tf_ib = sum over CV chunks k of exp(-(c_ik - mu_b)^2 / (2 width^2))
        h_b   = mean over JD chunks i of log(1 + tf_ib)
        logit = scale * w . h + bias

    tf_ib is a soft count of the CV chunks whose cosine with JD chunk i is about mu_b. The paper
    sums log tf over the terms of the query. Here it is a mean, so that a long JD does not score
    higher, and 1 + tf, because with a handful of chunks most bins are empty and log 0 would
    dominate. w starts such that w . h is nearest to c for a single pair of chunks, so an untrained
    scorer is close to the cosine.

    dim:   width of the chunk vectors
    bins:  number of kernels; their mu are evenly spaced from -1 to 1
    width: of a kernel (the paper's sigma), a cosine; None: the distance between two mu

    Returns [pair]. Raises InputError for less than 2 bins or a width that is not above 0.

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)[:1]}, ["jd:1"])
    >>> abs(SimilarityHistogram(2)(jd, jd).item() - 4.5) < 0.1  # 4.5 is the match head's logit
    True
    """

    centres: Tensor

    def __init__(self, dim: int, bins: int = 11, width: float | None = None) -> None:
        super().__init__()
        if bins < 2:
            raise InputError(f"bins={bins}", "it is too small", "give 2 or more")
        if width is not None and width <= 0:
            raise InputError(f"width={width}", "it must be positive", "give more than 0")
        self.width = 2 / (bins - 1) if width is None else width
        self.register_buffer("centres", torch.linspace(-1, 1, bins))
        self.head = MatchHead(dim)
        self.weight = nn.Parameter(self._as_cosine())

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        histogram = self._histogram(cosines(self.head, jd, cv), real_pairs(jd, cv), jd.mask)
        return self.head.scale[0] * (histogram @ self.weight) + self.head.bias[0]

    def _histogram(
        self,
        cosines: Float[Tensor, "pair i k"],
        real: Bool[Tensor, "pair i k"],
        mask: Bool[Tensor, "pair i"],
    ) -> Float[Tensor, "pair bin"]:
        distance = rearrange(cosines, "pair i k -> pair i k 1") - self.centres
        near = torch.exp(-(distance**2) / (2 * self.width**2))
        frequency = (near * rearrange(real, "pair i k -> pair i k 1")).sum(2)
        return masked_mean(torch.log1p(frequency), mask)

    def _as_cosine(self) -> Float[Tensor, " bin"]:
        """Find the w with the least sum of (w . h(c) - c)^2 over cosines c from -1 to 1."""
        single = torch.linspace(-1, 1, 201)[:, None, None]
        real = torch.ones_like(single, dtype=torch.bool)
        histogram = self._histogram(single, real, real[..., 0])
        return torch.linalg.pinv(histogram, rtol=1e-3) @ single[:, 0, 0]


def cosines(head: MatchHead, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, "pair i k"]:
    """Compute cos(A u_i, B v_k) of all chunk pairs; 0 where one of the two is padding."""
    return head.cosines(real_only(jd), real_only(cv))
