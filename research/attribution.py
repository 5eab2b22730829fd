"""Which chunks, and which (JD chunk, CV chunk) pairs, carried a score, and how far to believe it.

A weight says what a chunk did to the logit: above 0 it raised it (attention has no sign). Real
chunks stand first in a document, as `ChunkVectors.pad` leaves them; a weight of padding is 0. A
chunk is deleted by leaving it out, and later ones move up. papers/attribution.md says what is taken
from where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from scipy.stats import t
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jdcv_core.errors import InputError, nearest
from jdcv_core.evaluation.resampling import draw_counts
from jdcv_core.types import ChunkVectors, Side

AT_MOST = 256
"""Pairs that a scorer sees at once."""

ROUNDING = 64
"""A weight below this many units of rounding of its logit is 0."""


def methods_of(scorer: nn.Module) -> tuple[str, ...]:
    """The methods that can be asked of this scorer: all, but attention only of one that has
    `cross_attention` (of a ChunkAttention: with its term cross_jd)."""
    reads = callable(getattr(scorer, "cross_attention", None))
    reads = reads and "cross_jd" in getattr(scorer, "terms", ("cross_jd",))
    return tuple(name for name in METHODS if reads or name != "attention")


def pair_weights(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    method: str,
    *,
    seed: int = 0,
    at_most: int = AT_MOST,
) -> Float[Tensor, "pair i k"]:
    """What each (JD chunk i, CV chunk k) did to the logit f of its pair.

    attention:            how much i attends to k (mean over heads) / number of JD chunks; all
                          weights of a pair sum to 1
    gradient_times_input: x_i^T (d²f / dx_i dx_k) x_k. For f = c + Σ x_i^T W_ik x_k these are the
                          terms of the sum, and they add up to `chunk_weights` on both sides. All 0
                          for a scorer that sees chunks one by one through a cosine (MeanPairs,
                          PooledPairs, MaxSim): the length of x_i has no effect there
    leave_one_out:        f - f(without i) - f(without k) + f(without both): what the two do
                          together. A plain drop f - f(without both) would praise every partner of a
                          strong chunk; of a sum of terms this is the term. A chunk that is alone in
                          its document can't be left out: the weight is then the other's own drop,
                          and 0 if both are alone
    keep_one:             f(i alone, k alone), the logit when nothing else is left. Not a share of
                          f: compare it with the other chunk pairs only
    random:               uniform in [0, 1), by the two documents' ids and the seed

    jd, cv:  two sides of the same pairs
    seed:    of random; the others ignore it
    at_most: pairs that the scorer sees at once; a leave-one-out takes (1 + i)(1 + k) for each
             pair, gradient_times_input 1 + i passes back

    Neither batch nor padding changes a weight. The scorer reads in evaluation mode and is left as
    it was: mode, parameters and their gradients. What only rounding tells from 0 is 0.
    Raises InputError for an unknown method and for attention of a scorer without it, ValueError
    for sides of unequal length and for at_most below 1.
    Source: see papers/attribution.md; keep_one and the cross terms as pair weights are ours.
    """
    asked = _Asked.of(scorer, jd, cv, seed, at_most)
    with _evaluating(scorer):
        return _of_method(asked, method).pairs(asked)


def chunk_weights(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    method: str,
    *,
    seed: int = 0,
    at_most: int = AT_MOST,
) -> tuple[Float[Tensor, "pair i"], Float[Tensor, "pair k"]]:
    """What each JD chunk and each CV chunk did to the logit f of its pair.

    attention:            the sums of `pair_weights` over the other side; its JD chunks all have
                          1 / number of JD chunks: attention does not tell them apart
    gradient_times_input: x . df/dx, the first-order change of f when the chunk shrinks to 0
    leave_one_out:        f - f(without the chunk); 0 for a document's only chunk
    keep_one:             f(this chunk alone, the other document whole)
    random:               uniform in [0, 1)

    Arguments, errors and invariants are those of `pair_weights`.
    """
    asked = _Asked.of(scorer, jd, cv, seed, at_most)
    with _evaluating(scorer):
        return _of_method(asked, method).chunks(asked)


def top_pairs(
    weights: Float[Tensor, "pair i k"],
    jd_mask: Bool[Tensor, "pair i"],
    cv_mask: Bool[Tensor, "pair k"],
    count: int = 2,
) -> Int[Tensor, "pair {count} 2"]:
    """The (i, k) of each pair's largest weights, largest first, ties by i and then by k; (-1, -1)
    where a pair has fewer real chunk pairs than `count`.

    Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    real = rearrange(jd_mask[:, :, None] & cv_mask[:, None, :], "pair i k -> pair (i k)")
    flat = rearrange(weights, "pair i k -> pair (i k)").masked_fill(~real, -torch.inf)
    order = flat.argsort(dim=1, descending=True, stable=True)[:, :count]
    found = torch.stack([order // weights.shape[2], order % weights.shape[2]], dim=-1)
    found = found.masked_fill(~real.gather(1, order)[..., None], -1)
    return nn.functional.pad(found, (0, 0, 0, count - order.shape[1]), value=-1)


def deletion_drop(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    weights: Float[Tensor, "pair chunk"],
    *,
    side: Side = "cv",
    seed: int = 0,
    at_most: int = AT_MOST,
) -> Float[Tensor, " pair"]:
    """How far the score falls while chunks of one side are deleted, largest weight first.

        drop = 1/(n - 1) Σ_{s=1..n-1} (score - score without the s chunks of largest weight)

    n is the number of real chunks; one is always left. The area over the deletion curve, in
    [-1, 1]; nan where n is 1. Weights have a sign: first goes what is said to raise the logit most,
    last what is said to lower it, whether the pair is a fit or not. So the order that is right
    about what raises the score falls fastest, and its reverse slowest. Ties are broken by a draw
    from the documents' ids and the seed, so equal weights are a random order.

    weights: of the chunks of `side`, what they are for padding has no effect
    Other arguments, errors and invariants as for `pair_weights`.
    Source: AOPC, Samek et al. 2017, equation 12; comprehensiveness, DeYoung et al. 2020, section 4.
    """
    asked = _Asked.of(scorer, jd, cv, seed, at_most)
    masks = asked.masks
    mask = masks[_known(side)]
    ties = asked.drawn(mask, f"ties {side} {seed}")
    rank = _ranks(weights.to(mask.device).masked_fill(~mask, -torch.inf), ties)
    steps = torch.arange(mask.shape[1], device=mask.device)
    kept = {name: own[:, None] for name, own in masks.items()}
    kept[side] = (rank[:, None, :] >= steps[:, None]) & mask[:, None, :]
    with _evaluating(scorer):
        scores = asked.logits(kept["jd"], kept["cv"]).flatten(1).sigmoid()
    return (scores[:, :1] - scores[:, 1:]).nanmean(1)


def faithfulness(
    scorer: nn.Module,
    jd: ChunkVectors,
    cv: ChunkVectors,
    methods: Sequence[str] | None = None,
    *,
    side: Side = "cv",
    draws: int = 10,
    replicates: int = 2000,
    level: float = 0.95,
    seed: int = 0,
    at_most: int = AT_MOST,
) -> dict[str, dict[str, float]]:
    """Whether deleting chunks in a method's order lowers the score faster than a random order does.

    For each method, over the pairs whose document on `side` has 2 chunks or more:
        aopc           = mean over pairs of `deletion_drop` by the method's `chunk_weights`
        against_random = aopc - the same for random orders, the mean of `draws` of them a pair
        low, high      = interval of against_random over new JDs: a replicate draws JDs with
                         replacement and a drawn JD brings all its pairs; difference ± t · se with
                         1 / Σ (share of pairs of a JD)² - 1 degrees of freedom
    Method "random" is one more random order: its interval holds 0 but by chance. An interval above
    0 says that the order knows what raises this scorer's score; it says nothing of whether the
    scorer is right.

    methods: names, all of `methods_of(scorer)` when None
    side:    whose chunks are deleted; by default the CV's, which is what a recruiter reads
    seed:    of random orders, ties and the interval; same seed, same figures
    Returns method → {"aopc", "against_random", "low", "high"}; all nan if no document has 2 chunks,
    low and high nan if there is one JD alone.
    Raises ValueError for an unknown side and for less than 1 draw or replicate; otherwise as
    `pair_weights`.
    Source: the figure as for `deletion_drop`; the interval as `paired_bootstrap`.
    """
    if draws < 1 or replicates < 1:
        raise ValueError(f"draws and replicates must be at least 1, got {draws} and {replicates}")
    asked = _Asked.of(scorer, jd, cv, seed, at_most)
    methods = methods_of(scorer) if methods is None else methods
    for method in methods:
        _of_method(asked, method)
    (some,) = (asked.masks[_known(side)].sum(1) > 1).nonzero(as_tuple=True)
    if len(some) == 0:
        return {
            m: dict.fromkeys(("aopc", "against_random", "low", "high"), np.nan) for m in methods
        }
    asked = asked.take(some)

    def drop(weights: Tensor) -> np.ndarray:
        found = deletion_drop(
            scorer, asked.jd, asked.cv, weights, side=side, seed=seed, at_most=at_most
        )
        return found.double().cpu().numpy()

    mask = asked.masks[side]
    control = [drop(asked.drawn(mask, f"control {d} {seed}")) for d in range(draws)]
    result = {}
    for method in methods:
        weights = chunk_weights(scorer, asked.jd, asked.cv, method, seed=seed, at_most=at_most)
        drops = drop(dict(zip(asked.masks, weights, strict=True))[side])
        gain = drops - np.mean(control, axis=0)
        half = _half_width(gain, asked.jd.ids, replicates, level, seed)
        value = float(gain.mean())
        result[method] = {
            "aopc": float(drops.mean()),
            "against_random": value,
            "low": value - half,
            "high": value + half,
        }
    return result


@dataclass(frozen=True)
class _Asked:
    """A scorer and the pairs that it is asked about, padding set to 0."""

    scorer: nn.Module
    jd: ChunkVectors
    cv: ChunkVectors
    seed: int
    at_most: int

    @classmethod
    def of(
        cls, scorer: nn.Module, jd: ChunkVectors, cv: ChunkVectors, seed: int, at_most: int
    ) -> _Asked:
        if len(jd.ids) != len(cv.ids):
            raise ValueError(f"{len(jd.ids)} JDs for {len(cv.ids)} CVs")
        if at_most < 1:
            raise ValueError(f"at_most must be at least 1, got {at_most}")
        clean = [replace(x, vectors=x.vectors.masked_fill(~x.mask[..., None], 0)) for x in (jd, cv)]
        return cls(scorer, clean[0], clean[1], seed, at_most)

    @property
    def masks(self) -> dict[str, Tensor]:
        return {"jd": self.jd.mask, "cv": self.cv.mask}

    def take(self, index: Tensor) -> _Asked:
        return replace(self, jd=self.jd.take(index), cv=self.cv.take(index))

    def parts(self) -> Iterator[tuple[slice, _Asked]]:
        """At most `at_most` pairs each, and where they stand."""
        for start in range(0, len(self.jd.ids), self.at_most):
            rows = slice(start, start + self.at_most)
            yield rows, self.take(torch.arange(len(self.jd.ids))[rows])

    def logits(
        self, jd: Bool[Tensor, "pair a i"], cv: Bool[Tensor, "pair b k"]
    ) -> Float[Tensor, "pair a b"]:
        """The logit with the JD chunks of each a and the CV chunks of each b kept; nan where one of
        them keeps none."""
        kept = jd.any(-1)[:, :, None] & cv.any(-1)[:, None, :]
        found = self.jd.vectors.new_full(kept.shape, torch.nan)
        pair, a, b = kept.nonzero(as_tuple=True)
        with torch.no_grad():
            for at in torch.arange(len(pair), device=pair.device).split(self.at_most):
                p, of_jd, of_cv = pair[at], jd[pair[at], a[at]], cv[pair[at], b[at]]
                sides = _only(self.jd, p, of_jd), _only(self.cv, p, of_cv)
                found[p, a[at], b[at]] = self.scorer(*sides).to(found.dtype)
        return found

    def drawn(self, real: Bool[Tensor, "pair *chunk"], salt: str) -> Float[Tensor, "pair *chunk"]:
        """Uniform in [0, 1) where real, by the ids of the pair and the salt alone."""
        found = np.zeros(real.shape)
        for row, jd, cv, own in zip(
            found, self.jd.ids, self.cv.ids, real.cpu().numpy(), strict=True
        ):
            digest = hashlib.sha256(f"{salt} {jd} {cv}".encode()).digest()
            row[own] = np.random.default_rng(int.from_bytes(digest[:8], "big")).random(own.sum())
        return torch.from_numpy(found).to(self.jd.vectors)

    def settled(self, weights: Float[Tensor, "pair *chunk"]) -> Float[Tensor, "pair *chunk"]:
        """The weights with 0 for what may be rounding, so that it decides no order."""
        logits = self.logits(self.jd.mask[:, None], self.cv.mask[:, None])
        unit = torch.finfo(weights.dtype).eps * (1 + logits.abs())
        unit = unit.reshape(-1, *[1] * (weights.ndim - 1))
        return weights.masked_fill(weights.abs() <= ROUNDING * unit, 0)


@dataclass(frozen=True)
class _Method:
    pairs: Callable[[_Asked], Tensor]
    chunks: Callable[[_Asked], tuple[Tensor, Tensor]]


def _attention(asked: _Asked) -> Tensor:
    weights = _real_pairs(asked.jd, asked.cv).to(asked.jd.vectors.dtype)
    for rows, part in asked.parts():
        read = part.scorer.cross_attention(part.jd, part.cv)  # type: ignore[operator]
        weights[rows, : read.shape[1], : read.shape[2]] *= read
    return weights / asked.jd.mask.sum(1)[:, None, None]


def _attention_sums(asked: _Asked) -> tuple[Tensor, Tensor]:
    weights = _attention(asked)
    return weights.sum(2), weights.sum(1)


def _gradient_times_input(asked: _Asked) -> tuple[Tensor, Tensor]:
    with _differentiable():
        found = tuple(torch.zeros_like(side.vectors[..., 0]) for side in (asked.jd, asked.cv))
        for rows, part in asked.parts():
            x, first = _products(part)
            for side, weights, leaf in zip(found, first, x, strict=True):
                side[rows, : leaf.shape[1]] = weights.detach()
    return asked.settled(found[0]), asked.settled(found[1])


def _cross_terms(asked: _Asked) -> Tensor:
    with _differentiable():
        found = torch.zeros_like(_real_pairs(asked.jd, asked.cv), dtype=asked.jd.vectors.dtype)
        for rows, part in asked.parts():
            (_, x_cv), (of_jd, _) = _products(part, again=True)
            for i in range(of_jd.shape[1]):
                (slope,) = torch.autograd.grad(
                    of_jd[:, i].sum(), x_cv, retain_graph=True, materialize_grads=True
                )
                found[rows, i, : x_cv.shape[1]] = (slope * x_cv).sum(-1).detach()
    return asked.settled(found)


def _products(
    part: _Asked, again: bool = False
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The vectors of both sides as leaves, and x . df/dx of their chunks; `again`: such that it can
    be differentiated once more."""
    x_jd, x_cv = (side.vectors.clone().requires_grad_() for side in (part.jd, part.cv))
    logits = part.scorer(replace(part.jd, vectors=x_jd), replace(part.cv, vectors=x_cv))
    total = logits.sum() + 0 * (x_jd.sum() + x_cv.sum())  # also of a scorer that reads one side
    g_jd, g_cv = torch.autograd.grad(total, (x_jd, x_cv), create_graph=again)
    return (x_jd, x_cv), ((g_jd * x_jd).sum(-1), (g_cv * x_cv).sum(-1))


def _interactions(asked: _Asked) -> Tensor:
    """Of leave_one_out; see `pair_weights`."""
    f = asked.logits(_without_each(asked.jd.mask), _without_each(asked.cv.mask))
    f, f_jd, f_cv, f_both = f[:, :1, :1], f[:, 1:, :1], f[:, :1, 1:], f[:, 1:, 1:]
    jd_alone, cv_alone = (m.sum(1)[:, None, None] == 1 for m in (asked.jd.mask, asked.cv.mask))
    together = f - f_jd - f_cv + f_both
    found = torch.where(jd_alone, f - f_cv, torch.where(cv_alone, f - f_jd, together))
    return asked.settled(found.masked_fill(~_real_pairs(asked.jd, asked.cv), 0).nan_to_num(0))


def _drops(asked: _Asked) -> tuple[Tensor, Tensor]:
    f_jd, f_cv = _one_side_each(asked, _without_each)
    f = f_jd[:, :1]
    drops = ((f - left[:, 1:]).nan_to_num(0) for left in (f_jd, f_cv))
    of_jd, of_cv = (asked.settled(drop) for drop in drops)
    return of_jd, of_cv


def _kept_pairs(asked: _Asked) -> Tensor:
    f = asked.logits(_only_each(asked.jd.mask)[:, 1:], _only_each(asked.cv.mask)[:, 1:])
    return f.nan_to_num(0)


def _kept_chunks(asked: _Asked) -> tuple[Tensor, Tensor]:
    f_jd, f_cv = _one_side_each(asked, _only_each)
    return f_jd[:, 1:].nan_to_num(0), f_cv[:, 1:].nan_to_num(0)


def _one_side_each(
    asked: _Asked, variants: Callable[[Tensor], Tensor]
) -> tuple[Float[Tensor, "pair a"], Float[Tensor, "pair b"]]:
    """The logits with the variants of one side and the other side whole."""
    jd, cv = asked.jd.mask, asked.cv.mask
    of_jd, of_cv = asked.logits(variants(jd), cv[:, None]), asked.logits(jd[:, None], variants(cv))
    return of_jd[:, :, 0], of_cv[:, 0]


METHODS = {
    "attention": _Method(_attention, _attention_sums),
    "gradient_times_input": _Method(_cross_terms, _gradient_times_input),
    "leave_one_out": _Method(_interactions, _drops),
    "keep_one": _Method(_kept_pairs, _kept_chunks),
    "random": _Method(
        lambda a: a.drawn(_real_pairs(a.jd, a.cv), f"pairs {a.seed}"),
        lambda a: (a.drawn(a.jd.mask, f"jd {a.seed}"), a.drawn(a.cv.mask, f"cv {a.seed}")),
    ),
}


def _of_method(asked: _Asked, method: str) -> _Method:
    known = methods_of(asked.scorer)
    if method not in METHODS:
        cure = nearest(method, list(known))
        raise InputError(f"attribution={method}", "there is no such method", cure)
    if method not in known:
        what = f"{type(asked.scorer).__name__} has no attention from JD to CV"
        raise InputError(f"attribution={method}", what, f"choose one of {', '.join(known)}")
    return METHODS[method]


def _known(side: str) -> str:
    if side not in get_args(Side):
        raise ValueError(f"there is no side {side!r}, only {' and '.join(get_args(Side))}")
    return side


def _real_pairs(jd: ChunkVectors, cv: ChunkVectors) -> Bool[Tensor, "pair i k"]:
    return jd.mask[:, :, None] & cv.mask[:, None, :]


def _without_each(mask: Bool[Tensor, "pair chunk"]) -> Bool[Tensor, "pair variant chunk"]:
    """All real chunks, then all but chunk 0, all but chunk 1, …; none where that is padding."""
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return torch.cat([mask[:, None], mask[:, None, :] & ~own & mask[:, :, None]], 1)


def _only_each(mask: Bool[Tensor, "pair chunk"]) -> Bool[Tensor, "pair variant chunk"]:
    """All real chunks, then chunk 0 alone, chunk 1 alone, …; none where that is padding."""
    own = torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return torch.cat([mask[:, None], own & mask[:, :, None]], 1)


def _only(
    side: ChunkVectors, index: Int[Tensor, " pair"], kept: Bool[Tensor, "pair chunk"]
) -> ChunkVectors:
    """The documents at `index` with these chunks alone, in their order and moved up: what a scorer
    that knows slots (a first chunk, positions, a sequence) would see of the shorter document."""
    order = kept.int().argsort(dim=1, descending=True, stable=True)[:, : int(kept.sum(1).max())]
    mask = kept.gather(1, order)
    vectors = side.vectors[index[:, None], order].masked_fill(~mask[..., None], 0)
    months = None if side.months is None else side.months[index[:, None], order]
    return ChunkVectors(tuple(side.ids[i] for i in index.tolist()), vectors, mask, months)


def _ranks(
    weights: Float[Tensor, "pair chunk"], ties: Float[Tensor, "pair chunk"]
) -> Int[Tensor, "pair chunk"]:
    """0 for the largest weight, ties by the largest of `ties`."""
    order = ties.argsort(dim=1, descending=True, stable=True)
    second = weights.gather(1, order).argsort(dim=1, descending=True, stable=True)
    return order.gather(1, second).argsort(dim=1)


def _half_width(
    values: np.ndarray, jds: Sequence[str], replicates: int, level: float, seed: int
) -> float:
    """Half of the interval of mean(values) [pair] over JDs; nan for one JD."""
    _, j = np.unique(np.array(jds), return_inverse=True)
    sums, pairs = np.bincount(j, values), np.bincount(j)
    if len(pairs) < 2:
        return np.nan
    counts = draw_counts(len(pairs), replicates, seed)
    means = (counts @ sums) / (counts @ pairs)
    se = np.sqrt(len(pairs) / (len(pairs) - 1) * means.var())
    independent = pairs.sum() ** 2 / (pairs**2).sum()
    return float(t.ppf((1 + level) / 2, max(independent - 1, 1)) * se)


@contextmanager
def _evaluating(scorer: nn.Module) -> Iterator[None]:
    """The scorer in evaluation mode; afterwards each of its modules in the mode it was in."""
    modes = [(module, module.training) for module in scorer.modules()]
    scorer.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _differentiable() -> Iterator[None]:
    """Gradients, wherever we are called from, and only back ends that have second ones (the fused
    attention has none on a CPU) and have them in evaluation mode (cuDNN's LSTM has none)."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield
