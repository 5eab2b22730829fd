"""The deletion test: how far the weights of an attribution can be trusted.

If an attribution finds the chunks that raised a score, the score falls fastest when the chunks of
the largest weights are deleted first. papers/attribution.md lists the sources.
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
    """Measure the mean drop of the score as chunks of one side are deleted, largest weight first.

        drop = 1/(n - 1) Σ_{s=1..n-1} (score - score without the s chunks of largest weight)

    n is the number of real chunks; one chunk always remains. The drop is the area over the deletion
    curve, in [-1, 1]; it is nan if n is 1. Weights have a sign: the chunk with the largest positive
    weight is deleted first and the chunk with the largest negative weight last, for fits and for
    other pairs. So the score falls fastest in the order of the true effects, and slowest in the
    reverse order. Ties are broken by random numbers that depend on the documents' ids and the seed,
    so equal weights give a random order.

    weights: weights of the chunks of `side`; weights of padding have no effect
    Other arguments, errors and invariants are those of `attribution.pair_weights`.
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
    """Test whether deleting chunks in a method's order lowers the score faster than a random order.

    For each method, over the pairs whose document on `side` has 2 chunks or more:
        aopc           = mean over pairs of `deletion_drop` with the method's `chunk_weights`
        against_random = aopc - the same mean for random orders (`draws` of them for each pair)
        low, high      = interval of against_random over new JDs: a replicate draws JDs with
                         replacement, each with all its pairs; difference ± t · se with
                         1 / Σ (share of pairs of a JD)² - 1 degrees of freedom
    The method "random" is another random order, so its interval excludes 0 only by chance. An
    interval above 0 means that the method finds what raises the score of this scorer; it does not
    mean that the scorer is right.

    methods: names; None means all of `attribution.methods_of(scorer)`
    side:    side whose chunks are deleted; by default the CV, which a recruiter reads
    seed:    seed of random orders, ties and the interval; the same seed gives the same figures
    Returns method → {"aopc", "against_random", "low", "high"}. All are nan if no document has 2
    chunks; low and high are nan if there is only one JD.
    Raises ValueError for an unknown side and for less than 1 draw or replicate, and the errors of
    `attribution.pair_weights`.
    Source: as for `deletion_drop`; the interval as in `paired_bootstrap`.
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
        raise ValueError(f"side {side!r} is unknown: give {' or '.join(get_args(Side))}")
    return side


def _ranks(
    weights: Float[Tensor, "pair chunk"], ties: Float[Tensor, "pair chunk"]
) -> Int[Tensor, "pair chunk"]:
    """Rank weights, 0 for the largest; of equal weights, the one with larger `ties` is first."""
    order = ties.argsort(dim=1, descending=True, stable=True)
    second = weights.gather(1, order).argsort(dim=1, descending=True, stable=True)
    return order.gather(1, second).argsort(dim=1)


def _half_width(
    values: np.ndarray, jds: Sequence[str], replicates: int, level: float, seed: int
) -> float:
    """Compute half the width of the interval of mean(values) over JDs; nan for one JD.

    values: [pair]; jds: JD id of each pair
    """
    _, j = np.unique(np.array(jds), return_inverse=True)
    sums, pairs = np.bincount(j, values), np.bincount(j)
    if len(pairs) < 2:
        return np.nan
    counts = draw_counts(len(pairs), replicates, seed)
    means = (counts @ sums) / (counts @ pairs)
    se = np.sqrt(len(pairs) / (len(pairs) - 1) * means.var())
    independent = pairs.sum() ** 2 / (pairs**2).sum()
    return float(t.ppf((1 + level) / 2, max(independent - 1, 1)) * se)
