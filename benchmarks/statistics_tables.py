"""Make tables of trained scorers for which the better row is known. Ours.

A table has 60 JDs, each with 8 of 100 CVs. The first chunk of every document is its evidence, and
one to three further chunks are mostly noise. The label of a pair is the class of the cosine between
the topics of its two documents, plus noise. Pairs are split by JD, and scorers are trained on the
stored vectors with five seeds, as in the toolkit.

A row is `Evidence(weight)`, which gives the pair of evidence chunks a separate weight in the mean
over chunk pairs. With weight 0 it is the baseline, `MeanPairs`: other noise in the initial weights
and another order of training pairs make its training different, but not better. A weight above 0
plants an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from jdcv_core.data.splits import make_split
from jdcv_core.evaluation.classification import apply_thresholds
from jdcv_core.evaluation.compare import compare
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.loop import score_pairs, train
from jdcv_core.training.pairs import PairTensors
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import ChunkVectors, Dataset, Document, Pair

METRICS = ("weighted_f1", "auc_good", "auc_within_cv", "ndcg")
JDS, CVS, PER_JD, DIM = 60, 100, 8, 16
SEEDS = 5
SETTINGS = TrainingSettings(
    steps=8, batch=32, learning_rate=3e-3, evaluate_every=4, precision="fp32"
)
BASELINE = "baseline"
NULL = {"null 1": 0.0, "null 2": 0.0, "null 3": 0.0}
PLANTED = {"weak": 0.1, "strong": 0.5}


class Evidence(nn.Module):
    """score = (1 - weight) · mean over chunk pairs + weight · score of the two first chunks.

    With weight 0 it equals MeanPairs. noise: standard deviation of the noise in initial weights.
    """

    def __init__(self, weight: float, noise: float, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = weight
        self.mean = MeanPairs(DIM)
        with torch.no_grad():
            for parameter in self.mean.parameters():
                parameter += noise * torch.randn(parameter.shape, generator=generator)

    def forward(self, jd: ChunkVectors, cv: ChunkVectors) -> Tensor:
        logits = self.mean(jd, cv)
        if self.weight == 0:
            return logits
        first = torch.sigmoid(self.mean.head(jd.vectors[:, 0], cv.vectors[:, 0]))
        score = (1 - self.weight) * torch.sigmoid(logits) + self.weight * first
        return torch.logit(score, eps=1e-6)


def simulated(random_seed: int) -> tuple[Dataset, dict[str, np.ndarray]]:
    """Simulate labelled pairs and the chunk vectors of each document [chunk, dim]."""
    rng = np.random.default_rng(random_seed)
    ids = [f"jd:{i:03}" for i in range(JDS)] + [f"cv:{i:03}" for i in range(CVS)]
    about = {i: rng.normal(size=DIM) for i in ids}
    vectors = {}
    for i in ids:
        chunks = rng.normal(0, 1, (rng.integers(2, 5), DIM))
        chunks += 0.5 * about[i]
        chunks[0] = about[i] + rng.normal(0, 0.3, DIM)
        vectors[i] = chunks
    named = [(jd, cv) for jd in ids[:JDS] for cv in rng.permutation(ids[JDS:])[:PER_JD].tolist()]
    fit = np.array([about[jd] @ about[cv] for jd, cv in named]) / DIM
    fit += rng.normal(0, 0.1, len(fit))
    labels = np.digitize(fit, np.quantile(fit, [0.5, 0.75]))
    pairs = [Pair(cv, jd, int(label)) for (jd, cv), label in zip(named, labels, strict=True)]
    return Dataset("simulated", {i: Document(i, i) for i in ids}, pairs), vectors


def table_of_rows(random_seed: int, rows: Mapping[str, float]) -> dict[str, dict[str, np.ndarray]]:
    """Train every row with every seed; return the predictions on the test pairs as tables."""
    dataset, vectors = simulated(random_seed)
    data = PairTensors.of(dataset.pairs, vectors)
    each = {i: i for i in dataset.documents}  # no near-duplicates
    tables: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in rows}
    for seed in range(SEEDS):
        split = make_split(dataset, "jd", seed=seed, groups=each)
        index = {part: torch.tensor(rows) for part, rows in split.parts().items()}
        test = [dataset.pairs[i] for i in split.test]
        for place, (name, weight) in enumerate(rows.items()):
            own = int(np.random.SeedSequence([random_seed, seed, place]).generate_state(1)[0])
            generator = torch.Generator().manual_seed(own)
            model = OnVectors(Evidence(weight, 0.05, generator), data)
            trained = train(model, index["train"], index["validation"], SETTINGS, own)
            scores = score_pairs(model, index["test"])
            tables[name].append(
                {
                    "seed": np.full(len(test), seed),
                    "jd": np.array([pair.jd for pair in test]),
                    "cv": np.array([pair.cv for pair in test]),
                    "label": np.array([pair.label for pair in test]),
                    "predicted": apply_thresholds(scores, trained.thresholds),
                    "score": scores,
                }
            )
    return {
        name: {column: np.concatenate([p[column] for p in parts]) for column in parts[0]}
        for name, parts in tables.items()
    }


def found_in_tables(
    tables: Sequence[int], advance: Callable[[], None] = lambda: None
) -> dict[str, dict[str, float]]:
    """Compute error rates of the protocol of `compare` for each metric.

    tables: the random seeds of the tables
    Returns metric → shares:
    false_positives:      share of tables in which a null row gets the verdict better or worse, with
                          Holm's correction over the null rows
    false_per_comparison: share of null rows with such a verdict
    interval_excludes_0:  share of null rows whose interval excludes 0
    weak, strong:         share of tables in which the planted row gets the verdict better, with
                          Holm's correction over all rows
    """
    counts = {
        metric: dict.fromkeys(
            ("false_positives", "false_per_comparison", "interval_excludes_0", *PLANTED), 0.0
        )
        for metric in METRICS
    }
    for number in tables:
        rows = table_of_rows(number, {BASELINE: 0.0, **NULL, **PLANTED})
        nulls = {name: rows[name] for name in (BASELINE, *NULL)}
        without, with_plants = (
            compare(kind, BASELINE, metrics=METRICS, replicates=1000, random_seed=number)
            for kind in (nulls, rows)
        )
        for metric, count in counts.items():
            lines = [without[name][metric] for name in NULL]
            called = [line["verdict"] in ("better", "worse") for line in lines]
            count["false_positives"] += any(called)
            count["false_per_comparison"] += np.mean(called)
            count["interval_excludes_0"] += np.mean([line["verdict"] != "tie" for line in lines])
            for name in PLANTED:
                count[name] += with_plants[name][metric]["verdict"] == "better"
        advance()
    return {
        metric: {name: float(value / len(tables)) for name, value in count.items()}
        for metric, count in counts.items()
    }
