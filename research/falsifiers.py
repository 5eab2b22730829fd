"""Falsifiers: controls that deliberately remove information from the data or the scorer. Ours.

Each function is a view: it replaces the vectors [chunk, dim] of document ids, in training and test;
ids start with `cv:` or `jd:`. The result depends only on the seed and the documents, not on the
order of the mapping. If a row is as good with a view as without it, it did not use the information
that the view removes, and its gain has another reason. `RandomChunkAttention` is such a control for
chunk attention: it removes the learned choice of what a chunk attends to.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, nn

from jdcv_core.errors import InputError
from research.chunk_attention import Attention, ChunkAttention

Matrices = Mapping[str, np.ndarray]


class RandomChunkAttention(ChunkAttention):
    """`ChunkAttention` whose attention weights are random instead of learned.

    Values, outputs, pooling and head are learned. If this does as well as `ChunkAttention`, the
    gain of chunk attention does not come from what the chunks attend to.

    The arguments are those of `ChunkAttention`. Returns [pair].

    >>> import torch
    >>> from jdcv_core.types import ChunkVectors
    >>> jd = ChunkVectors.pad({"jd:1": torch.randn(2, 8)}, ["jd:1"])
    >>> RandomChunkAttention(8).eval()(jd, jd).shape
    torch.Size([1])
    """

    @staticmethod
    def attention(dim: int, heads: int, dropout: float) -> nn.Module:
        return RandomAttention(dim, heads, dropout)


class RandomAttention(Attention):
    """`Attention` whose Q and K are fixed random rotations.

    The norm has no weights, and no gradient flows through the attention weights: they remain a
    fixed random function of the two states. V can learn the scale that the norm lacks, but not its
    shift.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__(dim, heads, dropout)
        for layer in (self.query, self.key):
            nn.init.orthogonal_(layer.weight).requires_grad_(False)
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)

    def weights(
        self,
        x: Float[Tensor, "pair chunk dim"],
        source: Float[Tensor, "pair other dim"],
        mask: Bool[Tensor, "pair other"],
        bias: Float[Tensor, "pair other"] | None = None,
    ) -> Float[Tensor, "pair head chunk other"]:
        return super().weights(x.detach(), source.detach(), mask, bias)


def shuffled_chunks(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Put the chunks of each document into random order.

    A scorer that ignores the order must have the same figures up to rounding; otherwise it has a
    bug. A scorer that uses the order (positions, an LSTM, the first chunk) must become worse; if it
    does not, its gain does not come from the order of chunks.

    >>> view = shuffled_chunks({"cv:1": np.arange(3)[:, None]}, seed=0)
    >>> sorted(view["cv:1"][:, 0].tolist())
    [0, 1, 2]
    """
    rng = np.random.default_rng([seed, 10])
    return {i: matrices[i][rng.permutation(len(matrices[i]))] for i in sorted(matrices)}


def shuffled_jds(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Give each JD the chunks of another JD; the chunks of each JD are used once.

    A label is then unrelated to its pair of documents, so AUC must be at chance. An AUC above
    chance comes from knowledge of CVs alone, or from JDs so similar that one can replace another;
    that part of a result is not matching. If a JD gets the chunks of a near-duplicate, some
    information remains.

    Raises InputError if there is only one JD.
    """
    jds = [i for i in sorted(matrices) if i.startswith("jd:")]
    if len(jds) == 1:
        raise InputError("shuffled_jds", "there is only one JD", "take data with 2 JDs or more")
    ring = np.random.default_rng([seed, 11]).permutation(len(jds))  # each JD gets its predecessor's
    other = {jds[to]: jds[of] for to, of in zip(ring, np.roll(ring, 1), strict=True)}
    return {i: matrices[other.get(i, i)] for i in sorted(matrices)}


def cv_only(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Replace every JD by the same single random chunk vector, as long as JD chunks are on average.

    Direction, length and number of chunks are equal for all JDs, so no information about a JD
    remains. (The mean of all vectors cannot be used: the mean of whitened vectors is 0, which has
    no cosine.) Every CV then has one score for all JDs, so the AUC within a CV is 0.5. An AUC above
    chance over all pairs comes from the CV alone: some CVs are a Good Fit more often. If a scorer
    is no better on the real vectors than here, it has learned which CVs fit often, not to match.
    """
    return _one_side(matrices, seed, hidden="jd:")


def jd_only(matrices: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Replace every CV by the same single chunk vector: `cv_only` with the sides exchanged.

    Every JD has one score for all CVs, so all CVs of a JD are tied and the AUC within a JD is 0.5.
    An AUC above chance over all pairs comes from the JD alone: some JDs have more Good Fits.
    """
    return _one_side(matrices, seed, hidden="cv:")


def _one_side(matrices: Matrices, seed: int, hidden: str) -> dict[str, np.ndarray]:
    ids = [i for i in sorted(matrices) if i.startswith(hidden)]
    if not ids:
        return dict(matrices)
    chunks = np.concatenate([matrices[i] for i in ids])
    drawn = np.random.default_rng([seed, 12]).normal(size=(1, chunks.shape[1]))
    length = np.linalg.norm(chunks.astype(float), axis=1).mean()
    same = (drawn / np.linalg.norm(drawn) * length).astype(chunks.dtype)
    return {i: same if i.startswith(hidden) else matrices[i] for i in sorted(matrices)}


def shuffled_months(months: Matrices, seed: int) -> dict[str, np.ndarray]:
    """Shuffle the durations and recencies of each CV's dated chunks among these chunks.

    months: [chunk, 4] by document id, the `types.Months` of each chunk

    The weights of a CV keep their values, and so their entropy, but they are no longer related to
    the chunks that they weight.
    """
    rng = np.random.default_rng([seed, 45])
    shuffled = {}
    for i in sorted(months):
        own = months[i].copy()
        dated = np.flatnonzero(~np.isnan(own[:, 0]))
        own[dated, :2] = own[rng.permutation(dated), :2]
        shuffled[i] = own
    return shuffled
