"""Scorers: the chunk vectors of both sides in, one logit a pair out.

A scorer never sees text, an encoder or an id. The baseline is here; `research` has the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn

from jdcv_core.errors import InputError, nearest
from jdcv_core.losses import OBJECTIVES, squared_error
from jdcv_core.masking import masked_mean, real_only, real_pairs
from jdcv_core.types import TARGETS, ChunkVectors, Encoded

TRAIN_ON = ("mean", "chunk_pairs")


class Scorer(Protocol):
    """The interface of every scorer: an nn.Module with this call.

    jd, cv: the two sides of the same pairs, ChunkVectors of the same number of documents
    Returns the logit of each pair, [pair]; its sigmoid is the score. Padding never changes it.
    A scorer may also have `losses(jd, cv, labels) -> [pair]` (see `pair_losses`), and
    `evidence(jd, cv)` (see `jdcv_core.requirements`), by which its scores are explained.
    """

    def __call__(self, jd: ChunkVectors, cv: ChunkVectors) -> Tensor: ...


class MatchHead(nn.Module):
    """Two vectors → logits: logit_k = scale_k * cos(A_k u, B_k v) + bias_k. Ours.

    Every A and B starts as the identity, and scales and biases start at fixed values, so the logits
    of an untrained head rise with the cosine similarity of the two vectors. With a few thousand
    pairs this start is important: a head with a random start (an MLP over u, v, u * v, |u - v|)
    memorised the training pairs and stayed at chance on new ones (docs/LOG.md, 2026-11-23).

    dim:     width of both vectors
    outputs: logits per pair. One: scale 5, bias -0.5. Several: the biases start evenly spaced from
             0 down to -1, as for ordered ranks; the scales rise evenly around 5, so that the
             expected class rises with the cosine under a softmax, too
    shared:  one A, B and scale for all outputs, which then differ by their biases alone. CORAL
             needs it (Cao, Mirjalili & Raschka 2020, theorem 1): if the biases fall with k, the
             logits of every pair do

    With outputs=1 the logits are [*pair], else [*pair outputs].
    Raises ValueError for less than one output.

    >>> MatchHead(2)(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])).item()
    4.5
    """

    def __init__(self, dim: int, outputs: int = 1, shared: bool = False) -> None:
        super().__init__()
        if outputs < 1:
            raise ValueError(f"a match head needs at least 1 output, got {outputs}")
        self.outputs = outputs
        self.copies = 1 if shared else outputs
        self.jd = nn.Linear(dim, self.copies * dim, bias=False)
        self.cv = nn.Linear(dim, self.copies * dim, bias=False)
        for layer in (self.jd, self.cv):
            layer.weight = nn.Parameter(torch.eye(dim).repeat(self.copies, 1))
        scales = 10 * torch.arange(1, self.copies + 1) / (self.copies + 1)
        biases = torch.linspace(0, -1, outputs) if outputs > 1 else torch.tensor([-0.5])
        self.scale = nn.Parameter(scales)
        self.bias = nn.Parameter(biases)

    def forward(
        self, jd: Float[Tensor, "*pair dim"], cv: Float[Tensor, "*pair dim"]
    ) -> Float[Tensor, "*pair"] | Float[Tensor, "*pair output"]:
        cosines = (self._project(jd, self.jd) * self._project(cv, self.cv)).sum(-1)
        return self._logits(cosines)

    def all_pairs(
        self, jd: Float[Tensor, "pair i dim"], cv: Float[Tensor, "pair k dim"]
    ) -> Float[Tensor, "pair i k"] | Float[Tensor, "pair i k output"]:
        """The logits of every (JD chunk i, CV chunk k): `forward` on each, as a matrix product."""
        return self._logits(self._all_cosines(jd, cv))

    def cosines(
        self, jd: Float[Tensor, "pair i dim"], cv: Float[Tensor, "pair k dim"]
    ) -> Float[Tensor, "pair i k"]:
        """cos(A u_i, B v_k) of every (JD chunk i, CV chunk k), by the first output's A and B."""
        return self._all_cosines(jd, cv)[..., 0]

    def _all_cosines(self, jd: Tensor, cv: Tensor) -> Tensor:
        """[pair i k copy]"""
        jd, cv = self._project(jd, self.jd), self._project(cv, self.cv)
        return einsum(jd, cv, "pair i copy dim, pair k copy dim -> pair i k copy")

    def _project(self, vectors: Tensor, layer: nn.Linear) -> Tensor:
        """Unit vectors [... copy dim]."""
        projected = rearrange(layer(vectors), "... (copy dim) -> ... copy dim", copy=self.copies)
        return nn.functional.normalize(projected, dim=-1)

    def _logits(self, cosines: Tensor) -> Tensor:
        """[... copy] → [... output], or [...] for a single output."""
        logits = self.scale * cosines + self.bias
        return logits[..., 0] if self.outputs == 1 else logits


class MeanPairs(nn.Module):
    """The baseline: score = mean over (JD chunk i, CV chunk k) of score(head(jd_i, cv_k)).

    The inner score is the objective's, for mse the sigmoid. Equals the match head alone when both
    documents have one chunk. Source: the prototype's avg over i, j of score(JD_i, CV_j).

    dim:       width of the chunk vectors
    objective: name in `losses.OBJECTIVES`: the outputs of the head and how it is trained
    train_on:  "mean":        the squared error of the averaged score (with objective mse only)
               "chunk_pairs": every chunk pair is trained on the pair's label, as in the prototype

    Raises InputError for an unknown name, and for train_on="mean" without objective="mse".

    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> score = MeanPairs(2)(jd, cv).sigmoid()
    >>> round(score.item(), 3)  # the mean of sigmoid(5 * 1 - 0.5) and sigmoid(5 * 0 - 0.5)
    0.683
    """

    def __init__(self, dim: int, objective: str = "mse", train_on: str = "mean") -> None:
        super().__init__()
        _check_names(objective, train_on)
        self.objective = OBJECTIVES[objective]
        self.train_on = train_on
        self.head = MatchHead(dim, self.objective.outputs, self.objective.shared)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Float[Tensor, " pair"]:
        """The logit whose sigmoid is the score; the score is kept 1e-6 away from 0 and 1."""
        return torch.logit(self._mean_score(jd, cv), eps=1e-6)

    def losses(
        self, jd: ChunkVectors, cv: ChunkVectors, labels: Int[Tensor, " pair"]
    ) -> Float[Tensor, " pair"]:
        """The loss of each pair, according to `objective` and `train_on`.

        On chunk pairs: the mean of the objective's loss over the pair's real chunk pairs, so that
        every pair has the same weight however long its documents are. The original averaged over
        all chunk pairs of a batch; a pair's weight would then depend on the rest of its batch, and
        sums over micro-batches and processes would not add up. For mse this loss is the loss on the
        mean plus the variance of the scores of the chunk pairs.
        """
        if self.train_on == "mean":
            return (self._mean_score(jd, cv) - jd.vectors.new_tensor(TARGETS)[labels]) ** 2
        logits, real = self._chunk_pairs(jd, cv)
        every = repeat(labels, "pair -> (pair i k)", i=real.shape[1], k=real.shape[2])
        logits = rearrange(logits, "pair i k output -> (pair i k) output")
        errors = self.objective.loss(logits, every)
        return masked_mean(errors.reshape(real.shape), real)

    def _mean_score(self, jd: ChunkVectors, cv: ChunkVectors) -> Tensor:
        logits, real = self._chunk_pairs(jd, cv)
        return masked_mean(self.objective.score(logits), real)

    def _chunk_pairs(self, jd: ChunkVectors, cv: ChunkVectors) -> tuple[Tensor, Tensor]:
        """The logits [pair i k output] of all chunk pairs, and which are real [pair i k]."""
        real = real_pairs(jd, cv)
        logits = self.head.all_pairs(real_only(jd), real_only(cv))
        return logits.reshape(*real.shape, self.objective.outputs), real


def pair_losses(
    scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, labels: Int[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    """The training loss of each pair: `scorer.losses(jd, cv, labels)` if there is such a method,
    else the squared error of the score, (sigmoid(scorer(jd, cv)) - target) ** 2.

    A wrapper such as DistributedDataParallel hides the `losses` of the scorer in it, and would
    silently train with another loss: wrap a module that calls this function instead.
    Raises TypeError for such a wrapper.
    """
    own = getattr(scorer, "losses", None)
    if callable(own):
        return own(jd, cv, labels)
    inner = getattr(scorer, "module", None)
    if hasattr(inner, "losses"):
        raise TypeError(f"{type(scorer).__name__} hides the losses of {type(inner).__name__}")
    return squared_error(rearrange(scorer(jd, cv), "pair -> pair 1"), labels)


def _check_names(objective: str, train_on: str) -> None:
    if objective not in OBJECTIVES:
        cure = nearest(objective, list(OBJECTIVES))
        raise InputError(f"objective={objective}", "there is no such objective", cure)
    if train_on not in TRAIN_ON:
        cure = nearest(train_on, list(TRAIN_ON))
        raise InputError(f"train_on={train_on}", "there is no such way to train", cure)
    if train_on == "mean" and objective != "mse":
        what = f"the objective {objective} has no loss on an averaged score"
        raise InputError("train_on=mean", what, "write train_on: chunk_pairs, or objective: mse")


def count_parameters(module: nn.Module) -> int:
    """The number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


CELLS = 1 << 17
"""Most cells that a scorer sees at once, padding included; see `padded_cells`. A usual batch of 64
pairs with 45 chunks each has as many."""


def score_encoded(
    scorer: nn.Module, pairs: Sequence[tuple[str, str]], encoded: Mapping[str, Encoded]
) -> np.ndarray:
    """The scores of (CV id, JD id) pairs, float64 [pair] in [0, 1]; see `score_vectors`.

    encoded: by document id, with whitened vectors
    """
    matrices = {i: own.vectors for i, own in encoded.items()}
    months = {i: own.months for i, own in encoded.items()}
    words = {i: own.words for i, own in encoded.items() if own.words is not None}
    return score_vectors(
        scorer,
        pairs,
        matrices,
        {i: own for i, own in months.items() if own is not None},
        words or None,
    )


@torch.inference_mode()
def score_vectors(
    scorer: nn.Module,
    pairs: Sequence[tuple[str, str]],
    matrices: Mapping[str, np.ndarray],
    months: Mapping[str, np.ndarray] | None = None,
    words: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """The scores of (CV id, JD id) pairs, float64 [pair] in [0, 1].

    scorer:   is in evaluation mode afterwards
    matrices: whitened chunk vectors [chunk, dim] by document id
    months:   [chunk, 4] by document id, for documents whose experiences were read
    words:    [chunk, term, 2] by document id, for a scorer that reads words
    """
    scorer.eval()
    device = str(next((p.device for p in scorer.parameters()), "cpu"))
    sizes = [(len(matrices[jd]), len(matrices[cv])) for cv, jd in pairs]
    scores = np.empty(len(pairs))
    for batch in score_batches(sizes):
        cv, jd = (
            ChunkVectors.pad(matrices, [pairs[i][side] for i in batch], months, words).to(device)
            for side in (0, 1)
        )
        scores[batch] = torch.sigmoid(scorer(jd, cv).double()).cpu().numpy()
    return scores


def padded_cells(sizes: Sequence[tuple[int, int]]) -> int:
    """Count the cells of pairs as one batch: pairs * (longest JD + longest CV)², in chunks.

    This is what attention between all chunks of a pair computes, padding included.

    sizes: (JD chunks, CV chunks) of each pair

    >>> padded_cells([(1, 2), (2, 3)])
    50
    """
    jd, cv = (max((size[side] for size in sizes), default=0) for side in (0, 1))
    return len(sizes) * (jd + cv) ** 2


def score_batches(sizes: Sequence[tuple[int, int]], cells: int = CELLS) -> Iterator[list[int]]:
    """Indices of pairs in batches of similar size, largest first, so that memory runs out at once.

    sizes: (JD chunks, CV chunks) of each pair
    cells: most `padded_cells` of a batch; a pair with more goes alone
    """
    batch: list[int] = []
    longest = (0, 0)
    for i in sorted(range(len(sizes)), key=lambda i: (sum(sizes[i]), sizes[i]), reverse=True):
        grown = (max(longest[0], sizes[i][0]), max(longest[1], sizes[i][1]))
        if batch and (len(batch) + 1) * sum(grown) ** 2 > cells:
            yield batch
            batch, grown = [], sizes[i]
        batch.append(i)
        longest = grown
    if batch:
        yield batch


def parts_within(
    sizes: Sequence[tuple[int, int]], pairs: int, cells: int = CELLS
) -> Iterator[list[int]]:
    """Yield indices of pairs in parts of at most `pairs`, in order; only a part of more than
    `cells` is cut further, by `score_batches`.

    So one very long document does not stretch the padding of all pairs that share its batch, and
    usual batches stay as they are.
    """
    for start in range(0, len(sizes), pairs):
        part = list(range(start, min(start + pairs, len(sizes))))
        own = [sizes[i] for i in part]
        if padded_cells(own) <= cells:
            yield part
        else:
            yield from ([part[i] for i in batch] for batch in score_batches(own, cells))
