"""The deletion test: how far the weights of an attribution can be trusted.

If an attribution is right about which chunks raised a score, the score falls fastest when the
chunks of the largest weights are deleted first. papers/attribution.md says what is taken from
where.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import t
from torch import Tensor, nn

from jdcv_core.evaluation.resampling import draw_counts
from jdcv_core.types import ChunkVectors, Side
from research.attribution import (
    AT_MOST,
    check_method,
    chunk_weights,
    cleaned,
    evaluating,
    logits_of_subsets,
    methods_of,
    random_by_ids,
)


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

    n is the number of real chunks; one is always left. This is the area over the deletion curve, in
    [-1, 1]; nan if n is 1. Weights have a sign: the chunk that is said to raise the logit most goes
    first, and the chunk that is said to lower it most goes last, whether the pair is a fit or not.
    So the order that is right about what raises the score falls fastest, and its reverse slowest.
    Ties are broken by a draw from the documents' ids and the seed, so equal weights are a random
    order.

    weights: of the chunks of `side`; those of padding have no effect
    Other arguments, errors and invariants as for `attribution.pair_weights`.
    Source: AOPC, Samek et al. 2017, equation 12; comprehensiveness, DeYoung et al. 2020, section 4.

    >>> from jdcv_core.scoring import MeanPairs
    >>> jd = ChunkVectors.pad({"jd:1": torch.eye(2)[:1]}, ["jd:1"])
    >>> cv = ChunkVectors.pad({"cv:1": torch.eye(2)}, ["cv:1"])
    >>> drop = deletion_drop(MeanPairs(2), jd, cv, torch.tensor([[1.0, 0.0]]))
    >>> round(drop.item(), 2)  # 0.68, and 0.38 without the chunk that fits
    0.31
    """
    jd, cv = cleaned(jd, cv, at_most)
    masks = {"jd": jd.mask, "cv": cv.mask}
    mask = masks[_known(side)]
    ties = random_by_ids(jd, cv, mask, f"ties {side} {seed}")
    rank = _ranks(weights.to(mask.device).masked_fill(~mask, -torch.inf), ties)
    steps = torch.arange(mask.shape[1], device=mask.device)
    kept = {name: own[:, None] for name, own in masks.items()}
    kept[side] = (rank[:, None, :] >= steps[:, None]) & mask[:, None, :]
    with evaluating(scorer):
        logits = logits_of_subsets(scorer, jd, cv, kept["jd"], kept["cv"], at_most)
    scores = logits.flatten(1).sigmoid()
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
                         replacement, each with all its pairs; difference ± t · se with
                         1 / Σ (share of pairs of a JD)² - 1 degrees of freedom
    Method "random" is one more random order, so its interval misses 0 only by chance. An interval
    above 0 says that the order knows what raises the score of this scorer; it does not say that the
    scorer is right.

    methods: names; None: all of `attribution.methods_of(scorer)`
    side:    whose chunks are deleted; by default the CV's, which a recruiter reads
    seed:    of random orders, ties and the interval; the same seed gives the same figures
    Returns method → {"aopc", "against_random", "low", "high"}; all are nan if no document has 2
    chunks, low and high are nan if there is only one JD.
    Raises ValueError for an unknown side and for less than 1 draw or replicate; otherwise as
    `attribution.pair_weights`.
    Source: the figure as for `deletion_drop`; the interval as in `paired_bootstrap`.
    """
    if draws < 1 or replicates < 1:
        raise ValueError(f"draws and replicates must be at least 1, got {draws} and {replicates}")
    jd, cv = cleaned(jd, cv, at_most)
    methods = methods_of(scorer) if methods is None else methods
    for method in methods:
        check_method(scorer, method)
    some = ({"jd": jd, "cv": cv}[_known(side)].mask.sum(1) > 1).nonzero()[:, 0]
    if len(some) == 0:
        names = ("aopc", "against_random", "low", "high")
        return {method: dict.fromkeys(names, np.nan) for method in methods}
    jd, cv = jd.take(some), cv.take(some)

    def drop(weights: Tensor) -> np.ndarray:
        found = deletion_drop(scorer, jd, cv, weights, side=side, seed=seed, at_most=at_most)
        return found.double().cpu().numpy()

    mask = (jd if side == "jd" else cv).mask
    orders = (random_by_ids(jd, cv, mask, f"control {d} {seed}") for d in range(draws))
    control = np.mean([drop(order) for order in orders], axis=0)
    result = {}
    for method in methods:
        of_jd, of_cv = chunk_weights(scorer, jd, cv, method, seed=seed, at_most=at_most)
        drops = drop(of_jd if side == "jd" else of_cv)
        gain = float((drops - control).mean())
        half = _half_width(drops - control, jd.ids, replicates, level, seed)
        result[method] = {
            "aopc": float(drops.mean()),
            "against_random": gain,
            "low": gain - half,
            "high": gain + half,
        }
    return result


def _known(side: str) -> str:
    if side not in get_args(Side):
        raise ValueError(f"there is no side {side!r}, only {' and '.join(get_args(Side))}")
    return side


def _ranks(
    weights: Float[Tensor, "pair chunk"], ties: Float[Tensor, "pair chunk"]
) -> Int[Tensor, "pair chunk"]:
    """0 for the largest weight; among equal weights the largest of `ties` comes first."""
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
