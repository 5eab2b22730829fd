"""From the matrix of all (JD chunk, CV chunk) comparisons to one logit.

Chunk pairs with a padded side count for nothing, and the order of chunks has no effect.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jdcv_core.errors import InputError, nearest
from jdcv_core.scoring import MatchHead
from jdcv_core.types import ChunkVectors
from research.aggregators.pooled import real_only

HOW = ("max", "topk", "sum")


class PooledPairs(nn.Module):
    """The cosines c of the match head on all chunk pairs, put together, then its scale and bias.

        logit = scale * pool(c) + bias        c_ik = cos(A u_i, B v_k)

    dim: width of the chunk vectors
    how: "max":  the best chunk pair (BERT-MaxP, Dai & Callan 2019)
         "topk": the mean of the k best, of all where there are fewer; k = 1 is "max"
         "sum":  sum of c / sqrt(number of chunk pairs) (after BERT-SumP, Dai & Callan 2019)
    k:   of "topk"

    A plain sum would score documents by their length: the cosines of n unrelated chunk pairs add up
    to about +-sqrt(n). Divided by sqrt(n) their spread is the same for every n, and what many pairs
    agree on still adds up, which a mean does not show. The bias counts once, not n times. What is
    put together is never a score, so the score stays in (0, 1).
    The mean over pairs is `jdcv_core.scoring.MeanPairs` (it takes the mean of scores).

    Returns [pair]. With one chunk a side all equal the head alone, before training and after.
    Raises InputError for an unknown name or k below 1.
    """

    def __init__(self, dim: int, how: str = "max", k: int = 3) -> None:
        super().__init__()
        if how not in HOW:
            raise InputError(f"how={how}", "there is no such pooling", nearest(how, list(HOW)))
        if k < 1:
            raise InputError(f"k={k}", "that is too few", "give 1 or more")
        self.how, self.k = how, 1 if how == "max" else k
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        cosines, real = (
            rearrange(x, "pair i k -> pair (i k)") for x in cosines_and_real(self.head, jd, cv)
        )
        pooled = self._sum(cosines, real) if self.how == "sum" else self._best(cosines, real)
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
        return mean_where(best, best > float("-inf"))


class MaxSim(nn.Module):
    """Late interaction over chunks, both ways (ColBERT, Khattab & Zaharia 2020, equation 3).

        s     = (mean_i max_k c_ik + mean_k max_i c_ik) / 2        c_ik = cos(A u_i, B v_k)
        logit = scale * s + bias

    The paper has one way, from the query's tokens, and sums over them; a mean keeps long documents
    from scoring higher. A and B start as the identity.

    dim: width of the chunk vectors

    Returns [pair]. Symmetric: swap the two documents and the matrices A and B, and the logit stays;
    so it does untrained for the documents alone. With one chunk a side it equals the head alone.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.head = MatchHead(dim)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        cosines, real = cosines_and_real(self.head, jd, cv)
        masked = cosines.masked_fill(~real, float("-inf"))
        from_jd = mean_where(masked.amax(2), jd.mask)
        from_cv = mean_where(masked.amax(1), cv.mask)
        return self.head.scale[0] * (from_jd + from_cv) / 2 + self.head.bias[0]


class SimilarityHistogram(nn.Module):
    """Soft term frequencies over chunks (K-NRM, Xiong et al. 2017).

        c_ik  = cos(A u_i, B v_k)
        tf_ib = sum over CV chunks k of exp(-(c_ik - mu_b)^2 / (2 width^2))
        h_b   = mean over JD chunks i of log(1 + tf_ib)
        logit = scale * w . h + bias

    So tf_ib says softly how many CV chunks are about as similar as mu_b to JD chunk i. The paper
    sums log tf over the query's terms; here a mean, so that a long JD does not score higher, and
    1 + tf, since most bins are empty with a handful of chunks and log 0 would be all that counts.
    w starts where w . h is nearest to c for a single pair of chunks, so it starts near the cosine.

    dim:   width of the chunk vectors
    bins:  kernels, their mu evenly from -1 to 1
    width: of a kernel (the paper's sigma), a cosine; None: the distance of two mu

    Returns [pair]. Raises InputError for less than 2 bins or a width that is not above 0.
    """

    centres: Tensor

    def __init__(self, dim: int, bins: int = 11, width: float | None = None) -> None:
        super().__init__()
        if bins < 2:
            raise InputError(f"bins={bins}", "that is too few", "give 2 or more")
        if width is not None and width <= 0:
            raise InputError(f"width={width}", "a kernel needs a width", "give more than 0")
        self.width = 2 / (bins - 1) if width is None else width
        self.register_buffer("centres", torch.linspace(-1, 1, bins))
        self.head = MatchHead(dim)
        self.weight = nn.Parameter(self._as_cosine())

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        cosines, real = cosines_and_real(self.head, jd, cv)
        histogram = self._histogram(cosines, real, jd.mask)
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
        return mean_where(torch.log1p(frequency), mask)

    def _as_cosine(self) -> Float[Tensor, " bin"]:
        """argmin over w of the sum of (w . h(c) - c)^2 over single cosines c from -1 to 1."""
        single = torch.linspace(-1, 1, 201)[:, None, None]
        real = torch.ones_like(single, dtype=torch.bool)
        histogram = self._histogram(single, real, real[..., 0])
        return torch.linalg.pinv(histogram, rtol=1e-3) @ single[:, 0, 0]


def cosines_and_real(
    head: MatchHead, jd: ChunkVectors, cv: ChunkVectors
) -> tuple[Float[Tensor, "pair i k"], Bool[Tensor, "pair i k"]]:
    """cos(A u_i, B v_k) of all chunk pairs, and where both chunks are real."""
    real = rearrange(jd.mask, "pair i -> pair i 1") & rearrange(cv.mask, "pair k -> pair 1 k")
    return head.cosines(real_only(jd), real_only(cv)), real


def mean_where(
    values: Float[Tensor, "pair chunk *rest"], real: Bool[Tensor, "pair chunk"]
) -> Float[Tensor, "pair *rest"]:
    """The mean over the real chunks; what stands elsewhere, -inf too, counts for nothing."""
    there = real.reshape(*real.shape, *(1 for _ in values.shape[2:]))
    return values.masked_fill(~there, 0).sum(1) / there.sum(1)
