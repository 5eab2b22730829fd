"""Measure how often the 95% interval contains the true difference in simulated worlds. Ours.

A world draws the quality of a system's scores from four sources, each normal:

    score = sigmoid(quality · (label - 1) + noise),  noise ~ N(0, 1) for each (system, seed, pair)
    quality = 1 (the variant's: 1.15) + seed [system seed] + JD [system jd] + cell [system seed jd]

and a case is a table of two systems. Labels belong to the pairs, so seeds that test the same JD
share its labels. The true difference is the expected difference of a new case, with new seeds and
new JDs. It is estimated by the mean over all cases of the world, which differs from it by about
1/√cases of a case's standard error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from jdcv_core.evaluation.intervals import paired_bootstrap
from jdcv_core.evaluation.resampling import COLUMNS

METRICS = ("ndcg", "weighted_f1", "auc_good")
PAIRS = 10  # pairs of each JD
ADVANTAGE = 0.15
OF_JD, OF_CELL = 0.3, 0.3  # standard deviations of quality
CUTS = 0.38, 0.62
EVEN = 0.2
"""Standard deviation of quality between seeds at which a weighted F1 on 16 JDs varies as much
between trainings as between draws of JDs (with 40 JDs: this value times √(16/40))."""


@dataclass(frozen=True)
class World:
    """A simulated world.

    seeds: number of seeds of each system
    jds:   number of JDs; each seed tests `own` of them, drawn at random
    ratio: standard deviation between trainings / standard deviation that the sampling of JDs causes
    """

    seeds: int
    jds: int
    own: int
    ratio: float

    def __str__(self) -> str:
        jds = f"the same {self.jds} JDs" if self.own == self.jds else f"{self.own} of {self.jds}"
        return f"{self.seeds} seed{'s' * (self.seeds > 1)}, {jds}, seeds vary {self.ratio:g}x"


def worlds(seeds: tuple[int, ...] = (1, 3, 5, 10)) -> list[World]:
    return [
        World(s, jds, own, ratio)
        for s in seeds
        for jds, own in ((40, 40), (80, 16))
        for ratio in (0.0, 1.0, 3.0)
        if s > 1 or (ratio == 0 and own == jds)
    ]


def case(world: World, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Draw the tables of the variant and of the baseline."""
    labels = rng.choice(3, (world.jds, PAIRS), p=[0.5, 0.25, 0.25])
    own = [np.sort(rng.permutation(world.jds)[: world.own]) for _ in range(world.seeds)]
    seed = np.repeat(np.arange(world.seeds), world.own * PAIRS)
    jd = np.repeat(np.concatenate(own), PAIRS)
    cv = np.tile(np.arange(PAIRS), world.seeds * world.own)
    label = labels[jd, cv]
    of_seed = world.ratio * EVEN * np.sqrt(16 / world.own)
    tables = []
    for mean in (1 + ADVANTAGE, 1.0):
        quality = mean + rng.normal(0, of_seed, world.seeds)[seed]
        quality += rng.normal(0, OF_JD, world.jds)[jd]
        quality += rng.normal(0, OF_CELL, (world.seeds, world.jds))[seed, jd]
        score = 1 / (1 + np.exp(-(quality * (label - 1) + rng.normal(size=len(jd)))))
        predicted = np.digitize(score, CUTS)
        columns = (seed, jd, cv, label, predicted, score)
        tables.append(dict(zip(COLUMNS, columns, strict=True)))
    return tables


def coverage(
    world: World,
    cases: int,
    random_seed: int = 0,
    replicates: int = 300,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Compute for each metric the share of cases whose 95% interval has the true difference."""
    ends: dict[str, list[tuple[float, float, float]]] = {metric: [] for metric in METRICS}
    for number in range(cases):
        rng = np.random.default_rng([random_seed, number])
        found = paired_bootstrap(
            *case(world, rng), metrics=METRICS, replicates=replicates, random_seed=number
        )
        for metric, f in found.items():
            ends[metric].append((f["difference"], f["low"], f["high"]))
        advance()
    shares = {}
    for metric, values in ends.items():
        difference, low, high = np.array(values).T
        truth = difference.mean()
        shares[metric] = float(((low <= truth) & (truth <= high)).mean())
    return shares
