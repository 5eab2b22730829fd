"""Attribution: how much chunks, and (JD chunk, CV chunk) pairs, contributed to a score.

The weight of a chunk is its effect on the logit: a positive weight raised it (attention weights
have no sign). Real chunks come first in a document, as in `ChunkVectors.pad`; the weight of padding
is 0. A deleted chunk is removed, and later chunks move up. `research.deletion_test` measures how
far weights can be trusted. papers/attribution.md lists the sources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jdcv_core.errors import InputError, nearest
from jdcv_core.masking import real_only, real_pairs
from jdcv_core.scoring import parts_within
from jdcv_core.types import ChunkVectors

AT_MOST = 256
"""Number of pairs that a scorer processes at once."""

CELLS = 1 << 20
"""Cells that a scorer sees at once, see `scoring.padded_cells`."""

ROUNDING = 64
"""A weight below this many rounding units of its logit is set to 0."""


def methods_of(scorer: nn.Module) -> tuple[str, ...]:
    """List the methods that work with this scorer.

    The method attention needs a scorer with `cross_attention` (a ChunkAttention needs its term
    cross_jd, too); the other methods work with every scorer.

    >>> from jdcv_core.scoring import MeanPairs
    >>> methods_of(MeanPairs(8))
    ('gradient_times_input', 'leave_one_out', 'keep_one', 'random')
    """
    attends = callable(getattr(scorer, "cross_attention", None))
    attends = attends and "cross_jd" in getattr(scorer, "terms", ("cross_jd",))
    return tuple(name for name in METHODS if attends or name != "attention")


def pair_weights(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    method: str,
    *,
    seed: int = 0,
    at_most: int = AT_MOST,
) -> Float[Tensor, "pair i k"]:
    """Compute the effect of each (JD chunk i, CV chunk k) on the logit f of its pair.

    attention:            attention of i to k (mean over heads) / number of JD chunks; the weights
                          of a pair sum to 1
    gradient_times_input: x_i^T (d²f / dx_i dx_k) x_k. For f = c + Σ x_i^T W_ik x_k these are the
                          terms of the sum, and they add up to `chunk_weights` on both sides. They
                          are 0 for scorers that compare chunks by a cosine (MeanPairs, PooledPairs,
                          MaxSim), where the length of x_i has no effect
    leave_one_out:        f - f(without i) - f(without k) + f(without both), the joint effect of the
                          two; if f is a sum of terms, it is their term. A plain drop
                          f - f(without both) would give every partner of a strong chunk a high
                          weight. If one chunk is the only one of its document, the weight is the
                          drop of the other chunk; if both are, it is 0
    keep_one:             f(i alone, k alone), the logit if all other chunks are removed. It is not
                          a share of f: compare it only with other chunk pairs
    random:               uniform in [0, 1), determined by the two documents' ids and the seed

    jd, cv:  the two sides of the same pairs
    seed:    seed of random; the other methods ignore it
    at_most: number of pairs that the scorer processes at once; for each pair, leave_one_out scores
             (1 + i)(1 + k) pairs and gradient_times_input makes 1 + i backward passes

    Weights depend neither on the batch nor on padding. The scorer runs in evaluation mode; its
    mode, parameters and gradients are restored. Weights of the size of rounding errors are set to
    0. Raises InputError for an unknown method and for attention of a scorer without attention, and
    ValueError for sides of unequal length and for at_most below 1.
    Source: see papers/attribution.md; keep_one and the cross terms as pair weights are ours.

    >>> from jdcv_core.scoring import MeanPairs
    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> pair_weights(MeanPairs(2), jd, jd, "keep_one").round(decimals=1).tolist()
    [[[4.5, -0.5], [-0.5, 4.5]]]
    """
    jd, cv = cleaned(jd, cv, at_most)
    check_method(scorer, method)
    if method == "random":
        return random_by_ids(jd, cv, real_pairs(jd, cv), f"pairs {seed}")
    with evaluating(scorer):
        return _PAIRS[method](scorer, jd, cv, at_most)


def chunk_weights(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    method: str,
    *,
    seed: int = 0,
    at_most: int = AT_MOST,
) -> tuple[Float[Tensor, "pair i"], Float[Tensor, "pair k"]]:
    """Compute the effect of each JD chunk and each CV chunk on the logit f of its pair.

    attention:            the sum of `pair_weights` over the other side. Every JD chunk gets
                          1 / number of JD chunks: attention does not distinguish JD chunks
    gradient_times_input: x . df/dx, the first-order change of f when the chunk shrinks to 0
    leave_one_out:        f - f(without the chunk); 0 for the only chunk of a document
    keep_one:             f(only this chunk, the whole other document)
    random:               uniform in [0, 1)

    Arguments, errors and invariants are those of `pair_weights`.

    >>> from research.aggregators.pairwise import MaxSim
    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)[:1]}, ["cv:1"])
    >>> chunk_weights(MaxSim(2), jd, cv, "leave_one_out")[0].tolist()
    [[3.75, -1.25]]
    """
    jd, cv = cleaned(jd, cv, at_most)
    check_method(scorer, method)
    if method == "random":
        of_jd, of_cv = (
            random_by_ids(jd, cv, side.mask, f"{name} {seed}")
            for name, side in (("jd", jd), ("cv", cv))
        )
        return of_jd, of_cv
    with evaluating(scorer):
        return _CHUNKS[method](scorer, jd, cv, at_most)


def check_method(scorer: nn.Module, method: str) -> None:
    """Raise InputError for an unknown method, and for one that does not work with the scorer."""
    known = methods_of(scorer)
    if method not in METHODS:
        cure = nearest(method, list(known))
        raise InputError(f"attribution={method}", "there is no such method", cure)
    if method not in known:
        what = f"{type(scorer).__name__} has no attention from JD to CV"
        raise InputError(f"attribution={method}", what, f"choose one of {', '.join(known)}")


def cleaned(jd: ChunkVectors, cv: ChunkVectors, at_most: int) -> tuple[ChunkVectors, ChunkVectors]:
    """Set the padding of both sides to 0. Raises ValueError as `pair_weights` does."""
    if len(jd.ids) != len(cv.ids):
        raise ValueError(f"{len(jd.ids)} JDs for {len(cv.ids)} CVs")
    if at_most < 1:
        raise ValueError(f"at_most must be at least 1, got {at_most}")
    return replace(jd, vectors=real_only(jd)), replace(cv, vectors=real_only(cv))


def logits_of_subsets(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    kept_jd: Bool[Tensor, "pair a i"],
    kept_cv: Bool[Tensor, "pair b k"],
    at_most: int,
) -> Float[Tensor, "pair a b"]:
    """Compute the logit for each subset a of JD chunks and each subset b of CV chunks.

    The logit is nan if one of the two subsets is empty.
    """
    kept = kept_jd.any(-1)[:, :, None] & kept_cv.any(-1)[:, None, :]
    found = jd.vectors.new_full(kept.shape, torch.nan)
    pair, a, b = kept.nonzero(as_tuple=True)
    lengths = (kept_jd.sum(-1)[pair, a].tolist(), kept_cv.sum(-1)[pair, b].tolist())
    sizes = list(zip(*lengths, strict=True))
    with torch.no_grad():
        for part in parts_within(sizes, at_most, CELLS):
            at = torch.tensor(part, device=pair.device)
            p, of_jd, of_cv = pair[at], kept_jd[pair[at], a[at]], kept_cv[pair[at], b[at]]
            logits = scorer(_subset(jd, p, of_jd), _subset(cv, p, of_cv))
            found[p, a[at], b[at]] = logits.to(found.dtype)
    return found


def random_by_ids(
    jd: ChunkVectors, cv: ChunkVectors, real: Bool[Tensor, "pair *chunk"], salt: str
) -> Float[Tensor, "pair *chunk"]:
    """Draw from [0, 1) where `real`, else 0; only the ids of the pair and the salt matter."""
    found = np.zeros(real.shape)
    for row, jd_id, cv_id, own in zip(found, jd.ids, cv.ids, real.cpu().numpy(), strict=True):
        digest = hashlib.sha256(f"{salt} {jd_id} {cv_id}".encode()).digest()
        row[own] = np.random.default_rng(int.from_bytes(digest[:8], "big")).random(own.sum())
    return torch.from_numpy(found).to(jd.vectors)


@contextmanager
def evaluating(scorer: nn.Module) -> Iterator[None]:
    """Put the scorer into evaluation mode; at the end, restore the mode of each of its modules."""
    modes = [(module, module.training) for module in scorer.modules()]
    scorer.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _attention(scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int) -> Tensor:
    weights = real_pairs(jd, cv).to(jd.vectors.dtype)
    for rows, part_jd, part_cv in _parts(jd, cv, at_most):
        attends = scorer.cross_attention(part_jd, part_cv)  # type: ignore[operator]
        weights[rows, : attends.shape[1], : attends.shape[2]] *= attends
    return weights / jd.mask.sum(1)[:, None, None]


def _attention_sums(
    scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int
) -> tuple[Tensor, Tensor]:
    weights = _attention(scorer, jd, cv, at_most)
    return weights.sum(2), weights.sum(1)


def _cross_terms(scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int) -> Tensor:
    with _differentiable():
        found = torch.zeros_like(real_pairs(jd, cv), dtype=jd.vectors.dtype)
        for rows, part_jd, part_cv in _parts(jd, cv, at_most):
            (_, x_cv), (of_jd, _) = _products(scorer, part_jd, part_cv, again=True)
            for i in range(of_jd.shape[1]):
                (slope,) = torch.autograd.grad(
                    of_jd[:, i].sum(), x_cv, retain_graph=True, materialize_grads=True
                )
                found[rows, i, : x_cv.shape[1]] = (slope * x_cv).sum(-1).detach()
    return _without_rounding(scorer, jd, cv, found, at_most)


def _gradient_times_input(
    scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int
) -> tuple[Tensor, Tensor]:
    with _differentiable():
        found = [torch.zeros_like(side.vectors[..., 0]) for side in (jd, cv)]
        for rows, part_jd, part_cv in _parts(jd, cv, at_most):
            _, products = _products(scorer, part_jd, part_cv)
            for side, weights in zip(found, products, strict=True):
                side[rows, : weights.shape[1]] = weights.detach()
    of_jd, of_cv = (_without_rounding(scorer, jd, cv, side, at_most) for side in found)
    return of_jd, of_cv


def _products(
    scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, again: bool = False
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the vectors of both sides as leaves of the graph, and x . df/dx of their chunks.

    again: whether the result can be differentiated a second time
    """
    x_jd, x_cv = (side.vectors.clone().requires_grad_() for side in (jd, cv))
    logits = scorer(replace(jd, vectors=x_jd), replace(cv, vectors=x_cv))
    total = logits.sum() + 0 * (x_jd.sum() + x_cv.sum())  # for a scorer that reads one side only
    g_jd, g_cv = torch.autograd.grad(total, (x_jd, x_cv), create_graph=again)
    return (x_jd, x_cv), ((g_jd * x_jd).sum(-1), (g_cv * x_cv).sum(-1))


def _interactions(scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int) -> Tensor:
    """Compute leave_one_out of `pair_weights`."""
    f = logits_of_subsets(scorer, jd, cv, _without_each(jd.mask), _without_each(cv.mask), at_most)
    f, f_jd, f_cv, f_both = f[:, :1, :1], f[:, 1:, :1], f[:, :1, 1:], f[:, 1:, 1:]
    jd_alone, cv_alone = (side.mask.sum(1)[:, None, None] == 1 for side in (jd, cv))
    together = f - f_jd - f_cv + f_both
    found = torch.where(jd_alone, f - f_cv, torch.where(cv_alone, f - f_jd, together))
    found = found.masked_fill(~real_pairs(jd, cv), 0).nan_to_num(0)
    return _without_rounding(scorer, jd, cv, found, at_most)


def _drops(
    scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int
) -> tuple[Tensor, Tensor]:
    """Compute leave_one_out of `chunk_weights`."""
    f_jd, f_cv = _one_side_each(scorer, jd, cv, _without_each, at_most)
    drops = ((f_jd[:, :1] - left[:, 1:]).nan_to_num(0) for left in (f_jd, f_cv))
    of_jd, of_cv = (_without_rounding(scorer, jd, cv, drop, at_most) for drop in drops)
    return of_jd, of_cv


def _kept_pairs(scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int) -> Tensor:
    kept_jd, kept_cv = (_only_each(side.mask)[:, 1:] for side in (jd, cv))
    return logits_of_subsets(scorer, jd, cv, kept_jd, kept_cv, at_most).nan_to_num(0)


def _kept_chunks(
    scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, at_most: int
) -> tuple[Tensor, Tensor]:
    f_jd, f_cv = _one_side_each(scorer, jd, cv, _only_each, at_most)
    return f_jd[:, 1:].nan_to_num(0), f_cv[:, 1:].nan_to_num(0)


def _one_side_each(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    subsets: Callable[[Tensor], Tensor],
    at_most: int,
) -> tuple[Float[Tensor, "pair a"], Float[Tensor, "pair b"]]:
    """Compute the logits for subsets of each side, with all chunks of the other side."""
    whole_jd, whole_cv = jd.mask[:, None], cv.mask[:, None]
    of_jd = logits_of_subsets(scorer, jd, cv, subsets(jd.mask), whole_cv, at_most)
    of_cv = logits_of_subsets(scorer, jd, cv, whole_jd, subsets(cv.mask), at_most)
    return of_jd[:, :, 0], of_cv[:, 0]


_PAIRS = {
    "attention": _attention,
    "gradient_times_input": _cross_terms,
    "leave_one_out": _interactions,
    "keep_one": _kept_pairs,
}
_CHUNKS = {
    "attention": _attention_sums,
    "gradient_times_input": _gradient_times_input,
    "leave_one_out": _drops,
    "keep_one": _kept_chunks,
}
METHODS = (*_PAIRS, "random")


def _parts(
    jd: ChunkVectors, cv: ChunkVectors, at_most: int
) -> Iterator[tuple[Tensor, ChunkVectors, ChunkVectors]]:
    """Split pairs into parts of at most `at_most`, fewer if a document is very long; yield their
    rows and both sides."""
    sizes = list(zip(jd.mask.sum(1).tolist(), cv.mask.sum(1).tolist(), strict=True))
    for part in parts_within(sizes, at_most, CELLS):
        index = torch.tensor(part)
        yield index, jd.take(index), cv.take(index)


def _without_rounding(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    weights: Float[Tensor, "pair *chunk"],
    at_most: int,
) -> Float[Tensor, "pair *chunk"]:
    """Set weights of the size of rounding errors to 0, so that rounding decides no order."""
    logits = logits_of_subsets(scorer, jd, cv, jd.mask[:, None], cv.mask[:, None], at_most)
    unit = torch.finfo(weights.dtype).eps * (1 + logits.abs())
    unit = unit.reshape(-1, *[1] * (weights.ndim - 1))
    return weights.masked_fill(weights.abs() <= ROUNDING * unit, 0)


def _without_each(mask: Bool[Tensor, "pair chunk"]) -> Bool[Tensor, "pair subset chunk"]:
    """Make subsets: all real chunks, all but chunk 0, all but chunk 1, …; empty for padding."""
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return torch.cat([mask[:, None], mask[:, None, :] & ~own & mask[:, :, None]], 1)


def _only_each(mask: Bool[Tensor, "pair chunk"]) -> Bool[Tensor, "pair subset chunk"]:
    """Make subsets: all real chunks, only chunk 0, only chunk 1, …; empty for padding."""
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return torch.cat([mask[:, None], own & mask[:, :, None]], 1)


def _subset(
    side: ChunkVectors, index: Int[Tensor, " pair"], kept: Bool[Tensor, "pair chunk"]
) -> ChunkVectors:
    """Keep some chunks of the documents at `index`, in order, and move them up.

    A scorer that depends on slots (a first chunk, positions, a sequence) then processes them like
    a shorter document.
    """
    order = kept.int().argsort(dim=1, descending=True, stable=True)[:, : int(kept.sum(1).max())]
    mask = kept.gather(1, order)
    vectors = side.vectors[index[:, None], order].masked_fill(~mask[..., None], 0)
    months = None if side.months is None else side.months[index[:, None], order]
    words = None if side.words is None else side.words[index[:, None], order]
    return ChunkVectors(tuple(side.ids[i] for i in index.tolist()), vectors, mask, months, words)


@contextmanager
def _differentiable() -> Iterator[None]:
    """Enable gradients, and only back ends that have second gradients in evaluation mode.

    Fused attention has no second gradients on a CPU, and cuDNN's LSTM has no gradients in
    evaluation mode.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield
